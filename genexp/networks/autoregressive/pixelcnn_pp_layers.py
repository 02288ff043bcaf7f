"""The layers of PixelCNN++: two streams, each a convolution that sees no later pixel (Salimans, Karpathy, Chen, Kingma,
"PixelCNN++: improving the PixelCNN with discretized logistic mixture likelihood and other modifications", ICLR 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from genexp.networks.blocks.base import Block

DOWN, DOWN_RIGHT = (2, 3), (2, 2)
"""Kernels of the two streams: up to the present row, a column to either side; up to the present row and column."""


def concat_elu(x: Tensor) -> Tensor:
    """elu of x and of -x: ``(B, F, ...)`` -> ``(B, 2 F, ...)``."""
    return F.elu(torch.cat([x, -x], dim=1))


def normalised(conv: nn.Conv2d | nn.ConvTranspose2d, scale: float = 1.0) -> nn.Module:
    """``conv`` with a weight of norm g for each output channel (Salimans & Kingma 2016, equation 2).

    The directions begin as in the authors' code. There the first batch sets g and the bias so that outputs have mean 0 and
    standard deviation ``scale``; here g begins at ``scale`` and the bias at 0, which comes near it, since inputs are about
    as large as that, and needs no data.
    """
    nn.init.normal_(conv.weight, 0, 0.05)
    nn.init.zeros_(conv.bias)
    weight_norm(conv, dim=1 if isinstance(conv, nn.ConvTranspose2d) else 0)
    nn.init.constant_(conv.parametrizations.weight.original0, scale)
    return conv


def pad(x: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Zeros around x so that a convolution with :data:`DOWN` or :data:`DOWN_RIGHT` keeps its size and sees no later pixel."""
    return F.pad(x, (1, kernel[1] - 2, 1, 0))


class GatedResnet(nn.Module):
    """Two convolutions, the second of them gated, beside the identity (figure 2 of the paper and the authors' code).

    Args:
        filters: channels F of the stream.
        kernel: :data:`DOWN` or :data:`DOWN_RIGHT`.
        aux: how many further inputs of 2 F channels the first convolution has: short-cuts, or the other stream.
        num_classes: number of labels, 0 for none; a label adds to what is gated.
        dropout: share of activations dropped before the second convolution in training.
    """

    def __init__(self, filters: int, kernel: tuple[int, int], aux: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = normalised(nn.Conv2d(2 * filters, filters, kernel))
        self.aux = normalised(nn.Conv2d(2 * filters * aux, filters, 1)) if aux else None
        self.conv2 = normalised(nn.Conv2d(2 * filters, 2 * filters, kernel), 0.1)  # a step away from the identity
        self.label = nn.Embedding(num_classes, 2 * filters) if num_classes else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, 0, 0.05)

    def forward(self, x: Tensor, active: Tensor, aux: Tensor | None, y: Tensor | None) -> Tensor:
        """x ``(B, F, H, W)``, ``concat_elu(x)`` and aux ``(B, 2 F aux, H, W)`` -> ``(B, F, H, W)``."""
        h = self.conv1(pad(active, self.conv1.kernel_size))
        if self.aux is not None:
            h = h + self.aux(aux)
        h = F.dropout(concat_elu(h), self.dropout, self.training)
        h = self.conv2(pad(h, self.conv2.kernel_size))
        if self.label is not None:
            h = h + self.label(y)[:, :, None, None]
        return x + F.glu(h, dim=1)


class Layer(Block):
    """A gated residual layer of both streams.

    Args:
        filters, num_classes, dropout: see :class:`GatedResnet`.
        short_cut: whether the layer is on the way back and receives what the layer opposite received.
    """

    def __init__(self, filters: int, num_classes: int, dropout: float, short_cut: bool) -> None:
        super().__init__()
        self.u = GatedResnet(filters, DOWN, int(short_cut), num_classes, dropout)
        self.ul = GatedResnet(filters, DOWN_RIGHT, 1 + short_cut, num_classes, dropout)

    def forward(
        self, u: Tensor, u_active: Tensor, ul: Tensor, ul_active: Tensor, skip: Sequence[Tensor], y: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Both streams ``(B, F, H, W)`` with their ``concat_elu``, and ``concat_elu`` of the short-cuts of both, or ``()``:
        u, its ``concat_elu``, and ul after the layer."""
        u = self.u(u, u_active, skip[0] if skip else None, y)
        u_active = concat_elu(u)
        aux = torch.cat([u_active, skip[1]], dim=1) if skip else u_active
        return u, u_active, self.ul(ul, ul_active, aux, y)


class Shrink(Block):
    """Halves the sides of both streams."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.u = normalised(nn.Conv2d(filters, filters, DOWN, stride=2))
        self.ul = normalised(nn.Conv2d(filters, filters, DOWN_RIGHT, stride=2))

    def forward(self, u: Tensor, ul: Tensor) -> tuple[Tensor, Tensor]:
        """Both ``(B, F, H, W)`` -> ``(B, F, H / 2, W / 2)``."""
        return self.u(pad(u, DOWN)), self.ul(pad(ul, DOWN_RIGHT))


class Grow(Block):
    """Doubles the sides of both streams."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.u = normalised(nn.ConvTranspose2d(filters, filters, DOWN, 2, padding=(0, 1), output_padding=(0, 1)))
        self.ul = normalised(nn.ConvTranspose2d(filters, filters, DOWN_RIGHT, 2))

    def forward(self, u: Tensor, ul: Tensor) -> tuple[Tensor, Tensor]:
        """Both ``(B, F, H, W)`` -> ``(B, F, 2 H, 2 W)``."""
        return self.u(u), self.ul(ul)


class First(Block):
    """Begins both streams: u with the two rows above a pixel, ul also with the pixel to the left.

    As in the authors' code the outputs are shifted, not the inputs, so that zeros come in where there is nothing above or to the
    left, and not a bias: u is 0 in row 0, what ul has from above too, and what it has from the left is 0 in column 0.
    """

    def __init__(self, in_channels: int, filters: int) -> None:
        super().__init__()
        self.u = normalised(nn.Conv2d(in_channels, filters, (2, 3)))
        self.above = normalised(nn.Conv2d(in_channels, filters, (1, 3)))
        self.left = normalised(nn.Conv2d(in_channels, filters, (2, 1)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x ``(B, C_in, H, W)`` -> u and ul ``(B, F, H, W)``; none sees the present pixel."""
        u = _down(self.u(F.pad(x, (1, 1, 1, 0))))
        return u, _down(self.above(F.pad(x, (1, 1, 0, 0)))) + _right(self.left(F.pad(x, (0, 0, 1, 0))))


def _down(x: Tensor) -> Tensor:
    """A row further down: the last one leaves, zeros come in."""
    return F.pad(x, (0, 0, 1, -1))


def _right(x: Tensor) -> Tensor:
    """A column further to the right: the last one leaves, zeros come in."""
    return F.pad(x, (1, -1))
