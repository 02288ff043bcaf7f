"""Multi-layer perceptrons: a trunk for others, encoder and decoder of a VAE, generator and discriminator of a GAN."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.initialisation import initialise


class ConditionalMLP(nn.Module):
    """``(B, in_features)`` -> ``(B, out_features)``; labels are appended to the input as one-hot vectors.

    Args:
        in_features, out_features: widths of input and output.
        hidden: widths of the hidden layers.
        activation: non-linearity of the hidden layers; with ``nn.GLU(dim=1)`` they are gated, (W x + b) * sigmoid(V x + c)
            (Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018), W and V the two halves of one matrix.
        num_classes: number of labels; 0 for none.
        initialisation: initialisation of the weights; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden: Sequence[int],
        activation: nn.Module,
        num_classes: int,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        widths = [in_features + num_classes, *hidden]
        parts = 2 if isinstance(activation, nn.GLU) else 1
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, parts * b), activation]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out_features))
        initialise(self, initialisation)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            x = torch.cat([x, F.one_hot(y, self.num_classes).to(x.dtype)], dim=1)
        return self.layers(x)


class MLPEncoder(ConditionalMLP):
    """``(B, *shape)`` scaled to [0, 1] -> the parameters of q(z | x) ``(B, P)``."""

    def __init__(self, *, shape: Sequence[int], num_params: int, **mlp: Any) -> None:
        super().__init__(in_features=torch.Size(shape).numel(), out_features=num_params, **mlp)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(x.flatten(1), y)


class MLPDecoder(ConditionalMLP):
    """z ``(B, latent_dim)`` -> ``(B, P, *shape)``: the parameters of the observation model."""

    def __init__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, **mlp: Any) -> None:
        self.out_shape = (num_params, *shape)
        super().__init__(in_features=latent_dim, out_features=torch.Size(self.out_shape).numel(), **mlp)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(z, y).view(-1, *self.out_shape)


class MLPGenerator(ConditionalMLP):
    """z ``(B, latent_dim)`` -> reals ``(B, *shape)``; with levels they are squashed to [-1, 1] by tanh."""

    def __init__(self, *, shape: Sequence[int], levels: int | None, latent_dim: int, **mlp: Any) -> None:
        self.out_shape = tuple(shape)
        super().__init__(in_features=latent_dim, out_features=torch.Size(shape).numel(), **mlp)
        self.squash = nn.Identity() if levels is None else nn.Tanh()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.squash(super().forward(z, y)).view(-1, *self.out_shape)


class MLPDiscriminator(ConditionalMLP):
    """Reals ``(B, *shape)`` -> ``(B, num_outputs)``: column 0 is positive where x looks real."""

    def __init__(self, *, shape: Sequence[int], num_outputs: int, **mlp: Any) -> None:
        super().__init__(in_features=torch.Size(shape).numel(), out_features=num_outputs, **mlp)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(x.flatten(1), y)
