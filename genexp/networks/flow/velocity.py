"""The velocity of a continuous flow of vectors."""

from collections.abc import Sequence
from math import pi

import torch
from torch import Tensor, nn

from genexp.networks.mlp import ConditionalMLP
from genexp.ranges import at_least


class VelocityMLP(nn.Module):
    """``[x, cos pi k t, sin pi k t, one-hot label]`` -> dx/dt, k = 1, ..., ``frequencies``.

    Args:
        shape: of x, which is flattened.
        num_classes: number of labels; 0 for an unconditional network.
        hidden: widths of the hidden layers.
        activation: non-linearity of the hidden layers, smooth, for the velocity is differentiated.
        frequencies: of the time, at least 1.
    """

    def __init__(
        self, *, shape: Sequence[int], num_classes: int, hidden: Sequence[int], activation: nn.Module, frequencies: int
    ) -> None:
        super().__init__()
        at_least(1, frequencies=frequencies)
        dims = torch.Size(shape).numel()
        self.shape, self.num_classes = tuple(shape), num_classes
        self.register_buffer("frequencies", pi * torch.arange(1, frequencies + 1), persistent=False)
        self.mlp = ConditionalMLP(
            in_features=dims + 2 * frequencies,
            out_features=dims,
            hidden=hidden,
            activation=activation,
            num_classes=num_classes,
            initialisation=None,
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """x ``(B, *shape)``, t ``(B,)`` in [0, 1], y ``(B,)`` or None -> ``(B, *shape)``."""
        angle = t[:, None] * self.frequencies.to(x.dtype)
        return self.mlp(torch.cat([x.flatten(1), angle.cos(), angle.sin()], 1), y).view(-1, *self.shape)
