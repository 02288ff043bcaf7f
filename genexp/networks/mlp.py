"""Multi-layer perceptrons: a trunk for others, encoder and decoder of a VAE, generator and discriminator of a GAN."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genexp.networks.blocks.initialisation import initialise
from genexp.networks.blocks.labels import append_one_hot
from genexp.networks.blocks.maxout import Maxout
from genexp.networks.blocks.projection import Projection
from genexp.networks.blocks.spectral import normalise_spectrally
from genexp.ranges import at_least


def linear_maps(activation: nn.Module) -> int:
    """How many linear maps of a layer's input the activation takes for each of its outputs."""
    if isinstance(activation, Maxout):
        return activation.pieces
    return 2 if isinstance(activation, nn.GLU) else 1


class ConditionalMLP(nn.Module):
    """``(B, in_features)`` -> ``(B, out_features)``; labels are appended to the input as one-hot vectors.

    Args:
        in_features, out_features: widths of input and output.
        hidden: widths of the hidden layers.
        activation: non-linearity of the hidden layers; with ``nn.GLU(dim=1)`` they are gated, (W x + b) * sigmoid(V x + c)
            (Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018), W and V the two halves of one matrix; see also
            :class:`~genexp.networks.blocks.maxout.Maxout`.
        num_classes: number of labels; 0 for none.
        initialisation: initialisation of the weights; None for PyTorch's.
        normalisation: called with a width, makes the layer, e.g. ``nn.BatchNorm1d``, before each activation, and the linear maps
            before it have no biases; None for none.
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
        normalisation: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        at_least(1, hidden=hidden)
        self.num_classes = num_classes
        widths = [in_features + num_classes, *hidden]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            b *= linear_maps(activation)
            layers.append(nn.Linear(a, b, bias=normalisation is None))
            layers += ([] if normalisation is None else [normalisation(b)]) + [activation]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out_features))
        initialise(self, initialisation)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            x = append_one_hot(x, y, self.num_classes)
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

    def __init__(
        self,
        *,
        shape: Sequence[int],
        levels: int | None,
        latent_dim: int,
        normalisation: Callable[[int], nn.Module] | None,
        **mlp: Any,
    ) -> None:
        self.out_shape = tuple(shape)
        super().__init__(
            in_features=latent_dim, out_features=torch.Size(shape).numel(), normalisation=normalisation, **mlp
        )
        self.squash = nn.Identity() if levels is None else nn.Tanh()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.squash(super().forward(z, y)).view(-1, *self.out_shape)


class MLPDiscriminator(ConditionalMLP):
    """Reals ``(B, *shape)`` -> logits ``(B, num_outputs)``, of which column 0 is positive where x looks real.

    Args:
        shape: shape of x.
        num_classes: number of labels; 0 for none.
        num_outputs: number of logits.
        projection: the labels, if any, are taken into account by a
            :class:`~genexp.networks.blocks.projection.Projection`; else they are appended to the input.
        spectral_norm: see :func:`~genexp.networks.blocks.spectral.normalise_spectrally`.
        initialisation, mlp: see :class:`ConditionalMLP`.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        num_outputs: int,
        projection: bool,
        spectral_norm: bool,
        initialisation: Callable[[Tensor], Any] | None,
        **mlp: Any,
    ) -> None:
        super().__init__(
            in_features=torch.Size(shape).numel(),
            out_features=num_outputs,
            num_classes=0 if projection else num_classes,
            initialisation=initialisation,
            **mlp,
        )
        self.projection = None
        if projection and num_classes:
            self.projection = Projection(self.layers[-1].in_features, num_classes)
            initialise(self.projection, initialisation)
        if spectral_norm:
            normalise_spectrally(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.projection is None:
            return super().forward(x.flatten(1), y)
        phi = self.layers[:-1](x.flatten(1))
        return self.projection(self.layers[-1](phi), phi, y)
