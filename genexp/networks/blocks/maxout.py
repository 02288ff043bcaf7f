"""Maxout, an activation that takes several linear maps of its input."""

from typing import Any

import torch
from torch import Tensor, nn

from genexp.ranges import at_least


class Maxout(nn.Module):
    """h_j = max_k z_kj, the z_k being linear maps of the layer's input, parts of one matrix (Goodfellow, Warde-Farley, Mirza,
    Courville, Bengio, "Maxout networks", ICML 2013, section 3): ``(B, pieces F)`` -> ``(B, F)``.

    Args:
        pieces: number of linear maps, at least 2.
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        at_least(2, pieces=pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return _Largest.apply(x.unflatten(1, (self.pieces, -1)))


class _Largest(torch.autograd.Function):
    """``x.amax(1)``; equal ones share the gradient, as there. The gradient of that takes five times as long on a CPU, for its
    masks are bool."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        largest = x.amax(1, keepdim=True)
        ctx.save_for_backward(x, largest)
        return largest.squeeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, largest = (saved.detach() for saved in ctx.saved_tensors)
        chosen = torch.eq(x, largest, out=torch.empty_like(x))
        return chosen * (gradient.unsqueeze(1) / chosen.sum(1, keepdim=True))
