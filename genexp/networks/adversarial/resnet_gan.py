"""Residual networks of a GAN, for square images of 8 to 64 pixels: those of Gulrajani et al., "Improved training of Wasserstein
GANs" (NeurIPS 2017), and of Miyato et al., "Spectral normalization for generative adversarial networks" (ICLR 2018,
table 4), by their settings. All blocks have the same number of channels.

Where the papers make a side twice as large or small around a 1x1 convolution, the convolution is at the smaller: the result is the
same.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genexp.networks.blocks.base import Block
from genexp.networks.blocks.conditional_norm import batch_norm_layer, in_turn
from genexp.networks.blocks.initialisation import initialise
from genexp.networks.blocks.labels import append_one_hot, one_hot_planes
from genexp.networks.blocks.projection import Projection
from genexp.networks.blocks.residual import ResidualBlock
from genexp.networks.blocks.spectral import normalise_spectrally
from genexp.networks.convolutional import pyramid
from genexp.ranges import at_least


class UpBlock(Block):
    """up(conv1x1(x)) + conv(f(conv(up(f(x))))), f batch normalisation and ReLU: ``(B, F, H, W)`` -> ``(B, F, 2 H, 2 W)``.

    Args:
        channels: F.
        num_classes: number of labels that choose gains and biases of the batch normalisation; 0 for none.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Upsample(scale_factor=2))
        self.layers = nn.ModuleList(
            [
                batch_norm_layer(nn.BatchNorm2d, channels, num_classes),
                nn.ReLU(),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                batch_norm_layer(nn.BatchNorm2d, channels, num_classes),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        return self.shortcut(x) + in_turn(self.layers, x, y)


class DownBlock(Block):
    """conv1x1(pool(x)) + pool(conv(relu(conv(relu(x))))), pool the mean of 2x2: ``(B, inputs, H, W)`` -> ``(B, F, H / 2, W / 2)``.

    Args:
        inputs: channels of x.
        channels: F.
        first: x is the image, to which no ReLU is applied.
    """

    def __init__(self, inputs: int, channels: int, first: bool) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, channels, 1))
        self.layers = nn.Sequential(
            nn.Identity() if first else nn.ReLU(),
            nn.Conv2d(inputs, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.AvgPool2d(2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.layers(x)


class ResNetGenerator(nn.Module):
    """z ``(B, latent_dim)`` -> image ``(B, C, S, S)`` in [-1, 1] by tanh: a linear map to the coarsest image, a block for every
    doubling of the side (see :func:`~genexp.networks.convolutional.pyramid`), batch normalisation, ReLU, a 3x3 convolution.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        levels: number of values of a pixel.
        latent_dim: dimensions of z.
        num_classes: number of labels; 0 for none.
        channels: channels of all blocks, at least 1.
        conditional_batch_norm: the labels, if any, choose the gains and biases of the blocks' batch normalisation; else they are
            appended to z as one-hot vectors.
        spectral_norm: see :func:`~genexp.networks.blocks.spectral.normalise_spectrally`.
        initialisation: initialisation of the weights; None for PyTorch's.
        block_initialisation: initialisation of the 3x3 convolutions in the blocks; None for that of the others.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        levels: int | None,
        latent_dim: int,
        num_classes: int,
        channels: int,
        conditional_batch_norm: bool,
        spectral_norm: bool,
        initialisation: Callable[[Tensor], Any] | None,
        block_initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        if levels is None:
            raise ValueError("ResNetGenerator makes images with levels, but data.levels is null: choose model=gan")
        at_least(1, channels=channels)
        normalised = num_classes if conditional_batch_norm else 0
        self.appended = num_classes - normalised
        (_, *doublings), side = pyramid(shape, channels)
        self.dense = nn.Sequential(
            nn.Linear(latent_dim + self.appended, channels * side**2), nn.Unflatten(1, (channels, side, side))
        )
        self.blocks = nn.ModuleList(UpBlock(channels, normalised) for _ in doublings)
        self.output = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, shape[0], 3, padding=1), nn.Tanh()
        )
        finish(self, initialisation, block_initialisation, spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.dense(append_one_hot(z, y, self.appended) if self.appended else z)
        for block in self.blocks:
            h = block(h, y)
        return self.output(h)


class ResNetDiscriminator(nn.Module):
    """Image ``(B, C, S, S)`` in [-1, 1] -> logits ``(B, num_outputs)``, of which column 0 is positive where it looks real: blocks
    that halve the side, blocks that keep it, ReLU, the sum or mean over all places, a linear map.

    Args:
        shape: (C, S, S).
        num_classes: number of labels; 0 for none.
        num_outputs: number of logits.
        channels: channels of all blocks, at least 1.
        down_blocks: blocks that halve the side, at least 1; 2^down_blocks must divide S.
        plain_blocks: blocks that keep it.
        sum_pooling: the sum over all places (Miyato et al.), not the mean (Gulrajani et al.).
        projection: the labels, if any, are taken into account by a
            :class:`~genexp.networks.blocks.projection.Projection`; else they are given as constant planes beside the image.
        spectral_norm: see :func:`~genexp.networks.blocks.spectral.normalise_spectrally`.
        initialisation: initialisation of the weights; None for PyTorch's.
        block_initialisation: initialisation of the 3x3 convolutions in the blocks; None for that of the others.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        num_outputs: int,
        channels: int,
        down_blocks: int,
        plain_blocks: int,
        sum_pooling: bool,
        projection: bool,
        spectral_norm: bool,
        initialisation: Callable[[Tensor], Any] | None,
        block_initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, down_blocks=down_blocks)
        at_least(0, plain_blocks=plain_blocks)
        if len(shape) != 3 or any(side % 2**down_blocks for side in shape[1:]):
            raise ValueError(
                f"data.shape={list(shape)}: a residual discriminator needs images [C, H, W] whose sides can be halved "
                f"down_blocks={down_blocks} times"
            )
        self.planes, self.sum_pooling = 0 if projection else num_classes, sum_pooling
        self.blocks = nn.Sequential(
            DownBlock(shape[0] + self.planes, channels, first=True),
            *(DownBlock(channels, channels, first=False) for _ in range(down_blocks - 1)),
            *(ResidualBlock(channels, nn.ReLU()) for _ in range(plain_blocks)),
            nn.ReLU(),
        )
        self.output = nn.Linear(channels, num_outputs)
        self.projection = Projection(channels, num_classes) if projection and num_classes else None
        finish(self, initialisation, block_initialisation, spectral_norm)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = self.blocks(one_hot_planes(x, y, self.planes) if self.planes else x)
        phi = h.sum((2, 3)) if self.sum_pooling else h.mean((2, 3))
        logits = self.output(phi)
        return logits if self.projection is None else self.projection(logits, phi, y)


def finish(
    network: nn.Module,
    initialisation: Callable[[Tensor], Any] | None,
    block_initialisation: Callable[[Tensor], Any] | None,
    spectral_norm: bool,
) -> None:
    """Initial weights, spectral normalisation and memory format of a network of blocks."""
    initialise(network, initialisation)
    for block in network.modules():
        if isinstance(block, Block):
            initialise(block.layers, block_initialisation)
    if spectral_norm:
        normalise_spectrally(network)
    network.to(memory_format=torch.channels_last)
