"""The gated multi-layer perceptrons of the VampPrior (Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.initialisation import initialise


class GatedMLP(nn.Module):
    """``(B, in_features)`` -> ``(B, out_features)``: layers (W x + b) * sigmoid(V x + c), then a linear one.

    Labels are appended to the input as one-hot vectors. W and V of a layer are the two halves of one matrix.

    Args:
        in_features, out_features: widths of input and output.
        hidden: widths of the gated layers.
        num_classes: number of labels; 0 for none.
        initialisation: initialisation of the weights; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden: Sequence[int],
        num_classes: int,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        widths = [in_features + num_classes, *hidden]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, 2 * b), nn.GLU(dim=1)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out_features))
        initialise(self, initialisation)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            x = torch.cat([x, F.one_hot(y, self.num_classes).to(x.dtype)], dim=1)
        return self.layers(x)


class GatedMLPEncoder(GatedMLP):
    """``(B, *shape)`` scaled to [0, 1] -> the parameters of q(z | x) ``(B, P)``."""

    def __init__(self, *, shape: Sequence[int], num_params: int, **mlp: Any) -> None:
        super().__init__(in_features=torch.Size(shape).numel(), out_features=num_params, **mlp)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(x.flatten(1), y)


class GatedMLPDecoder(GatedMLP):
    """z ``(B, latent_dim)`` -> ``(B, P, *shape)``: the parameters of the observation model."""

    def __init__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, **mlp: Any) -> None:
        self.out_shape = (num_params, *shape)
        super().__init__(in_features=latent_dim, out_features=torch.Size(self.out_shape).numel(), **mlp)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(z, y).view(-1, *self.out_shape)
