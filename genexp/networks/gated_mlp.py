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
    """``(B, *shape)`` scaled to [0, 1] -> ``(B, 2 latent_dim)``: mean and log standard deviation of q(z | x).

    Args:
        shape: shape of one example.
        latent_dim: dimensions of z.
        log_variance_range: the log variance, of which the log standard deviation is the half, is clamped to this range
            (the authors' code: -6 to 2); None for any.
        mlp: see :class:`GatedMLP`.

    Raises:
        ValueError: the range is none.
    """

    def __init__(
        self, *, shape: Sequence[int], latent_dim: int, log_variance_range: Sequence[float] | None, **mlp: Any
    ) -> None:
        if log_variance_range is not None and not (
            len(log_variance_range) == 2 and log_variance_range[0] < log_variance_range[1]
        ):
            raise ValueError(f"log_variance_range={log_variance_range}: must be two ascending numbers, or null")
        super().__init__(in_features=torch.Size(shape).numel(), out_features=2 * latent_dim, **mlp)
        self.log_variance_range = log_variance_range

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        mean, log_variance = super().forward(x.flatten(1), y).chunk(2, dim=1)
        if self.log_variance_range is not None:
            log_variance = log_variance.clamp(*self.log_variance_range)
        return torch.cat([mean, log_variance / 2], dim=1)


class GatedMLPDecoder(GatedMLP):
    """z ``(B, latent_dim)`` -> ``(B, P, *shape)``: the parameters of the observation model."""

    def __init__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, **mlp: Any) -> None:
        self.out_shape = (num_params, *shape)
        super().__init__(in_features=latent_dim, out_features=torch.Size(self.out_shape).numel(), **mlp)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(z, y).view(-1, *self.out_shape)
