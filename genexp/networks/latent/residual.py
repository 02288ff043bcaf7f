"""Residual convolutional networks for square images of 8 to 64 pixels: encoder and decoder of a VAE.

The sides halve as in :func:`genexp.networks.convolutional.pyramid`. At every resolution, the finest and the coarsest included,
stand ``blocks`` pre-activation residual blocks (He, Zhang, Ren, Sun, "Identity mappings in deep residual networks", ECCV 2016,
figure 4e), without batch normalisation; the channels double with every halving.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genexp.networks.blocks.initialisation import initialise
from genexp.networks.blocks.labels import append_one_hot, one_hot_planes
from genexp.networks.blocks.residual import ResidualBlock
from genexp.networks.convolutional import pyramid
from genexp.ranges import at_least


def stages(shape: Sequence[int], channels: int, blocks: int) -> tuple[list[int], int]:
    """Features at each resolution, finest first, and the coarsest side.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        channels: features at the finest resolution, at least 1.
        blocks: residual blocks at each resolution, at least 1.

    Returns:
        ``([channels, 2 channels, ...], side)``.

    Raises:
        ValueError: an argument is outside its range.
    """
    at_least(1, channels=channels, blocks=blocks)
    (_, *coarser), side = pyramid(shape, 2 * channels)
    return [channels, *coarser], side


class ResidualEncoder(nn.Module):
    """x ``(B, C, S, S)`` in [0, 1] -> the parameters of q(z | x) ``(B, P)``.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        num_params: parameters P.
        channels: features at the finest resolution.
        blocks: residual blocks at each resolution.
        activation: non-linearity before every convolution but the first.
        num_classes: number of labels, given as constant planes beside the image; 0 for none.
        initialisation: initialisation of the weights; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        channels: int,
        blocks: int,
        activation: nn.Module,
        num_classes: int,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        widths, side = stages(shape, channels, blocks)
        layers: list[nn.Module] = [nn.Conv2d(shape[0] + num_classes, channels, 3, padding=1)]
        for a, b in itertools.pairwise(widths):
            layers += [ResidualBlock(a, activation) for _ in range(blocks)]
            layers += [activation, nn.Conv2d(a, b, 4, stride=2, padding=1)]
        top = widths[-1]
        layers += [ResidualBlock(top, activation) for _ in range(blocks)]
        layers += [activation, nn.Flatten(), nn.Linear(top * side**2, num_params)]
        self.layers = nn.Sequential(*layers)
        initialise(self, initialisation)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(one_hot_planes(x, y, self.num_classes) if self.num_classes else x)


class ResidualDecoder(nn.Module):
    """z ``(B, latent_dim)`` -> ``(B, P, C, S, S)``: the parameters of the observation model. Sides are doubled by repeating
    pixels, which a 3x3 convolution follows.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        latent_dim: dimensions of z.
        num_params: parameters P per dimension.
        channels: features at the finest resolution.
        blocks: residual blocks at each resolution.
        activation: non-linearity before every convolution.
        num_classes: number of labels, appended to z as one-hot vectors; 0 for none.
        initialisation: initialisation of the weights; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        latent_dim: int,
        num_params: int,
        channels: int,
        blocks: int,
        activation: nn.Module,
        num_classes: int,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        self.num_classes, self.out_shape = num_classes, (num_params, *shape)
        widths, side = stages(shape, channels, blocks)
        top = widths[-1]
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + num_classes, top * side**2),
            nn.Unflatten(1, (top, side, side)),
        ]
        layers += [ResidualBlock(top, activation) for _ in range(blocks)]
        for a, b in itertools.pairwise(reversed(widths)):
            layers += [activation, nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1)]
            layers += [ResidualBlock(b, activation) for _ in range(blocks)]
        layers += [activation, nn.Conv2d(channels, num_params * shape[0], 3, padding=1)]
        self.layers = nn.Sequential(*layers)
        initialise(self, initialisation)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, y, self.num_classes)
        return self.layers(z).view(-1, *self.out_shape)
