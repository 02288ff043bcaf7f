"""Batch normalisation over the batches of all processes, where PyTorch's own needs a GPU, and the way back."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """Sum over the processes. Its gradient is the sum over them of what each does with it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.apply(grad)


class SyncedBatchNorm(_BatchNorm):
    """Batch normalisation of ``(B, F, ...)`` by the mean and variance over the batches of all processes, on any device.

    ``B`` may differ between processes. It has the parameters and buffers of PyTorch's layer."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.float() if input.dtype in (torch.float16, torch.bfloat16) else input
        axes, shape = (0, *range(2, x.ndim)), (-1, *[1] * (x.ndim - 2))
        features = x.shape[1]
        local = torch.cat([x.sum(axes), x.new_tensor([x.numel() // features])])
        total, n = _Sum.apply(local).split([features, 1])
        mean = total / n
        centred = x - mean.view(shape)
        var = _Sum.apply((centred**2).sum(axes)) / n
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_((var * (n / (n - 1))).to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked += 1
        scale = torch.rsqrt(var + self.eps)
        if not self.affine:
            return (centred * scale.view(shape)).to(input.dtype)
        return (centred * (self.weight * scale).view(shape) + self.bias.view(shape)).to(input.dtype)


class SyncedBatchNorm1d(SyncedBatchNorm, nn.BatchNorm1d):
    """Of vectors ``(B, F)``."""


class SyncedBatchNorm2d(SyncedBatchNorm, nn.BatchNorm2d):
    """Of images ``(B, F, H, W)``."""


class _LocalBatchNorm(_BatchNorm):
    """Of ``(B, F, ...)`` with any number of axes."""

    def _check_input_dim(self, input: Tensor) -> None: ...


_SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
}
_LOCAL = {synced: local for local, synced in _SYNCED.items()} | {nn.SyncBatchNorm: _LocalBatchNorm}


def synchronised(network: nn.Module) -> nn.Module:
    """The network itself, whose batch normalisation is from now on over the batches of all processes, on any device."""
    return _replace(network, _SYNCED)


def unsynchronised(network: nn.Module) -> nn.Module:
    """The network itself, whose batch normalisation is from now on over the batch of each process alone."""
    return _replace(network, _LOCAL)


def _replace(network: nn.Module, classes: dict[type[nn.Module], type[nn.Module]]) -> nn.Module:
    for module in network.modules():
        if type(module) in classes:
            module.__class__ = classes[type(module)]
    return network
