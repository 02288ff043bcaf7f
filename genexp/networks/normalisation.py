"""Batch normalisation over the batches of all processes, where PyTorch's own needs a GPU."""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class _Mean(torch.autograd.Function):
    """Mean over the processes. Its gradient is the sum over them of what each does with it, of which each gets a share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Mean.apply(grad)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation of ``(B, C, H, W)`` by the mean and variance over the batches of all processes, on any device.

    ``B`` must be the same on every process. It has the parameters and buffers of ``nn.BatchNorm2d``."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        mean = _Mean.apply(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        var = _Mean.apply((centred**2).mean((0, 2, 3)))
        with torch.no_grad():
            n = x.numel() // x.shape[1] * distributed.get_world_size()
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((var * (n / (n - 1))).to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(var + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)
