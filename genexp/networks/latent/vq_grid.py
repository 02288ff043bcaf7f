"""The encoder and decoder of the VQ-VAE (van den Oord, Vinyals, Kavukcuoglu 2017, section 4.1): images <-> a grid of vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import require_images
from genexp.networks.blocks.base import Block
from genexp.networks.blocks.labels import one_hot_planes
from genexp.ranges import at_least


def grid_of(shape: Sequence[int], halvings: int, network: str) -> tuple[int, int]:
    """Height and width of images after ``halvings`` halvings.

    Raises:
        ValueError: the data are no images, or their sides do not halve so often; names ``network``.
    """
    _, height, width = require_images(shape, network)
    at_least(1, halvings=halvings)
    if height % 2**halvings or width % 2**halvings:
        raise ValueError(
            f"data.shape={list(shape)}: {network} halves both sides {halvings} times, so they must be multiples of "
            f"{2**halvings}; choose other halvings"
        )
    return height >> halvings, width >> halvings


class GridResidualBlock(Block):
    """h + (ReLU, 3x3 convolution, ReLU, 1x1 convolution)(h) on ``channels`` channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        """h ``(B, channels, H, W)`` -> the same shape."""
        return h + self.mix(F.relu(self.conv(F.relu(h))))


class GridEncoder(nn.Module):
    """Convolutions 4x4 of stride 2 with ReLU between them, residual blocks, ReLU, a 1x1 convolution.

    Args:
        shape: (C, H, W), H and W multiples of 2^halvings.
        latent_dim: channels D of the output.
        num_classes: number of labels, given as constant planes beside the image; 0 for none.
        channels: channels of every layer in between.
        halvings: number of strided convolutions, at least 1.
        blocks: number of residual blocks.
    """

    def __init__(
        self, *, shape: Sequence[int], latent_dim: int, num_classes: int, channels: int, halvings: int, blocks: int
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.grid = grid_of(shape, halvings, type(self).__name__)
        """Height h and width w of the output."""
        layers: list[nn.Module] = [nn.Conv2d(shape[0] + num_classes, channels, 4, stride=2, padding=1)]
        for _ in range(halvings - 1):
            layers += [nn.ReLU(), nn.Conv2d(channels, channels, 4, stride=2, padding=1)]
        layers += [GridResidualBlock(channels) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(channels, latent_dim, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """x ``(B, C, H, W)`` in [0, 1] -> ``(B, D, h, w)``."""
        return self.layers(one_hot_planes(x, y, self.num_classes) if self.num_classes else x)


class GridDecoder(nn.Module):
    """A 3x3 convolution, residual blocks, and transposed convolutions 4x4 of stride 2 with ReLU before each.

    Args:
        shape: (C, H, W), H and W multiples of 2^halvings.
        latent_dim: channels D of the input.
        num_params: parameters P of the observation model per dimension.
        num_classes: number of labels, given as constant planes beside the input; 0 for none.
        channels: channels of every layer in between.
        halvings: number of transposed convolutions, that of the encoder.
        blocks: number of residual blocks.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        latent_dim: int,
        num_params: int,
        num_classes: int,
        channels: int,
        halvings: int,
        blocks: int,
    ) -> None:
        super().__init__()
        self.num_classes, self.out_shape = num_classes, (num_params, *shape)
        self.grid = grid_of(shape, halvings, type(self).__name__)
        """Height h and width w of the input."""
        layers: list[nn.Module] = [nn.Conv2d(latent_dim + num_classes, channels, 3, padding=1)]
        layers += [GridResidualBlock(channels) for _ in range(blocks)]
        for _ in range(halvings - 1):
            layers += [nn.ReLU(), nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)]
        last = nn.ConvTranspose2d(channels, num_params * shape[0], 4, stride=2, padding=1)
        self.layers = nn.Sequential(*layers, nn.ReLU(), last)
        self.to(memory_format=torch.channels_last)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z ``(B, D, h, w)`` -> ``(B, P, C, H, W)``: the parameters of the observation model."""
        z = one_hot_planes(z, y, self.num_classes) if self.num_classes else z
        return self.layers(z).reshape(-1, *self.out_shape)
