"""Convolutional networks for images whose sides halve evenly: VAE encoder and decoder, DCGAN generator and discriminator.

One pyramid serves all: the side is halved while it stays even and at least 4, so 8 -> 4, 28 -> 14 -> 7, 32 -> 16 -> 8 -> 4,
64 -> 32 -> 16 -> 8 -> 4; the channels double with every halving, from ``channels`` at the first.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genexp.networks.blocks.conditional_norm import batch_norm_layer, in_turn
from genexp.networks.blocks.initialisation import initialise
from genexp.networks.blocks.labels import append_one_hot, one_hot_planes
from genexp.networks.blocks.projection import Projection
from genexp.networks.blocks.spectral import normalise_spectrally
from genexp.ranges import at_least


def pyramid(shape: Sequence[int], channels: int) -> tuple[list[int], int]:
    """Channels at each resolution, finest first, and the coarsest side.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        channels: channels after the first halving.

    Returns:
        ``([C, channels, 2 channels, ...], side)``.

    Raises:
        ValueError: the images are not square, or their side does not fit.
    """
    if len(shape) != 3 or shape[1] != shape[2] or not 8 <= shape[1] <= 64 or shape[1] % 2:
        raise ValueError(
            f"data.shape={list(shape)}: this convolutional network needs square images [C, S, S] with even S, 8 to 64; "
            "for other data choose a model of multi-layer perceptrons"
        )
    side, widths = shape[1], [shape[0]]
    while side % 2 == 0 and side // 2 >= 4:
        widths.append(channels * 2 ** (len(widths) - 1))
        side //= 2
    return widths, side


class Downward(nn.Module):
    """Image -> vector, by 4x4 convolutions of stride 2 (Radford, Metz, Chintala, ICLR 2016, section 3).

    Args:
        shape: (C, S, S); see :func:`pyramid`.
        out_features: width F of the output.
        channels: channels after the first convolution.
        dense: widths of fully connected layers between the convolutions and the output.
        num_classes: number of labels, given as constant planes beside the image; 0 for none.
        batch_norm: batch normalisation after every convolution but the first, and after the fully connected layers.
        slope: negative slope of the leaky ReLU.
        initialisation: initialisation of the weights; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        out_features: int,
        channels: int,
        dense: Sequence[int],
        num_classes: int,
        batch_norm: bool,
        slope: float,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, dense=dense)
        at_least(0, slope=slope)
        self.num_classes = num_classes
        widths, side = pyramid(shape, channels)
        widths[0] += num_classes
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            normalise = batch_norm and i > 0
            layers.append(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=not normalise))
            layers += [nn.BatchNorm2d(b)] if normalise else []
            layers.append(nn.LeakyReLU(slope))
        layers.append(nn.Flatten())
        widths = [widths[-1] * side**2, *dense]
        for a, b in itertools.pairwise(widths):
            layers.append(nn.Linear(a, b, bias=not batch_norm))
            layers += ([nn.BatchNorm1d(b)] if batch_norm else []) + [nn.LeakyReLU(slope)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], out_features))
        initialise(self, initialisation)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """x ``(B, C, S, S)`` -> ``(B, F)``."""
        return self.layers(one_hot_planes(x, y, self.num_classes) if self.num_classes else x)


class Upward(nn.Module):
    """Vector -> image, by 4x4 transposed convolutions of stride 2.

    Args:
        shape: (C, S, S); see :func:`pyramid`.
        in_features: width of the input.
        out_channels: channels of the output image.
        channels: channels before the last convolution.
        dense: widths of fully connected layers before the one that makes the coarsest image.
        num_classes: number of labels; 0 for none.
        batch_norm: batch normalisation before every ReLU.
        conditional_batch_norm: the labels, if any, choose the gains and biases of the batch normalisation; else they are
            appended to the input as one-hot vectors.
        slope: negative slope of the ReLU; 0 for the usual one.
        initialisation: initialisation of the weights; None for PyTorch's.

    Raises:
        ValueError: conditional batch normalisation without batch normalisation.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        in_features: int,
        out_channels: int,
        channels: int,
        dense: Sequence[int],
        num_classes: int,
        batch_norm: bool,
        conditional_batch_norm: bool,
        slope: float,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, dense=dense)
        at_least(0, slope=slope)
        if conditional_batch_norm and not batch_norm:
            raise ValueError("conditional_batch_norm=true needs batch_norm=true")
        self.normalised = num_classes if conditional_batch_norm else 0
        self.appended = num_classes - self.normalised
        widths, side = pyramid(shape, channels)
        top = widths[-1]

        def activation(make: Callable[..., nn.Module], features: int) -> list[nn.Module]:
            return ([batch_norm_layer(make, features, self.normalised)] if batch_norm else []) + [nn.LeakyReLU(slope)]

        layers: list[nn.Module] = []
        sizes = [in_features + self.appended, *dense]
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b, bias=not batch_norm), *activation(nn.BatchNorm1d, b)]
        layers += [nn.Linear(sizes[-1], top * side**2), nn.Unflatten(1, (top, side, side))]
        layers += activation(nn.BatchNorm2d, top)
        for a, b in zip(widths[:1:-1], widths[-2:0:-1], strict=True):
            layers.append(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=not batch_norm))
            layers += activation(nn.BatchNorm2d, b)
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[1], out_channels, 4, stride=2, padding=1))
        initialise(self, initialisation)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z ``(B, in_features)`` -> ``(B, out_channels, S, S)``."""
        if self.appended:
            z = append_one_hot(z, y, self.appended)
        return in_turn(self.layers, z, y) if self.normalised else self.layers(z)


class ConvEncoder(Downward):
    """x ``(B, C, S, S)`` in [0, 1] -> the parameters of q(z | x) ``(B, P)``."""

    def __init__(self, *, num_params: int, **network: Any) -> None:
        super().__init__(out_features=num_params, dense=(), **network)


class ConvDecoder(Upward):
    """z ``(B, latent_dim)`` -> ``(B, P, C, S, S)``: the parameters of the observation model."""

    def __init__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, **network: Any) -> None:
        super().__init__(
            shape=shape,
            in_features=latent_dim,
            out_channels=num_params * shape[0],
            dense=(),
            conditional_batch_norm=False,
            slope=0.0,
            **network,
        )
        self.out_shape = (num_params, *shape)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().forward(z, y).view(-1, *self.out_shape)


class ConvGenerator(Upward):
    """z ``(B, latent_dim)`` -> image ``(B, C, S, S)`` in [-1, 1] by tanh."""

    def __init__(self, *, shape: Sequence[int], levels: int | None, latent_dim: int, **network: Any) -> None:
        if levels is None:
            raise ValueError("ConvGenerator makes images with levels, but data.levels is null: choose model=gan")
        super().__init__(shape=shape, in_features=latent_dim, out_channels=shape[0], **network)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return torch.tanh(super().forward(z, y))


class ConvDiscriminator(Downward):
    """Image ``(B, C, S, S)`` in [-1, 1] -> logits ``(B, num_outputs)``, of which column 0 is positive where it looks real.

    Args:
        num_classes: number of labels; 0 for none.
        num_outputs: number of logits.
        projection: the labels, if any, are taken into account by a
            :class:`~genexp.networks.blocks.projection.Projection`; else they are given as constant planes beside the image.
        spectral_norm: see :func:`~genexp.networks.blocks.spectral.normalise_spectrally`.
        initialisation, network: see :class:`Downward`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        num_outputs: int,
        projection: bool,
        spectral_norm: bool,
        initialisation: Callable[[Tensor], Any] | None,
        **network: Any,
    ) -> None:
        appended = 0 if projection else num_classes
        super().__init__(out_features=num_outputs, num_classes=appended, initialisation=initialisation, **network)
        self.projection = None
        if projection and num_classes:
            self.projection = Projection(self.layers[-1].in_features, num_classes)
            initialise(self.projection, initialisation)
        if spectral_norm:
            normalise_spectrally(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.projection is None:
            return super().forward(x, y)
        phi = self.layers[:-1](x)
        return self.projection(self.layers[-1](phi), phi, y)
