"""The layers of Gated PixelCNN: a vertical and a horizontal stack, joined by gates (van den Oord et al., "Conditional image
generation with PixelCNN decoders", NeurIPS 2016)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.raster import MaskedConv2d, pointwise
from genexp.networks.blocks.base import Block


def _gate(x: Tensor) -> Tensor:
    """tanh(a) * sigmoid(b) of the two halves of the features ``x`` (equation 2)."""
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


class GatedLayer(Block):
    """One layer of both stacks (figure 2 of the paper), with a skip connection to the output.

    Row i of the vertical stack sees the rows up to i, a pixel of the horizontal stack sees itself and those to the
    left; what the horizontal stack receives from the vertical one is shifted down by a row. Together they see all
    pixels before (i, j), without a blind spot. The features of the horizontal stack are divided into one group per channel
    of the image, with masks at the present pixel; those of the vertical stack are not, since whole rows precede it.

    Args:
        inputs: group of each input of the horizontal stack.
        groups: group of each of the C features; their number is that of both stacks.
        kernel: odd width k of the full kernel; the vertical stack uses its (k + 1) / 2 upper rows.
        dilation: distance between the taps.
        num_classes: number of labels, 0 for none.
        first: the first layer has mask A, and no residual connection.
    """

    def __init__(
        self, inputs: Tensor, groups: Tensor, kernel: int, dilation: int, num_classes: int, first: bool
    ) -> None:
        super().__init__()
        channels = len(groups)
        self.channels, self.dilation, self.first = channels, dilation, first
        self.reach = kernel // 2
        self.vertical = nn.Conv2d(len(inputs), 2 * channels, (self.reach + 1, kernel), dilation=dilation)
        halves = groups.repeat(2)
        self.ahead = first and int(groups.max()) == 0
        """Mask A of a single channel leaves nothing of the present pixel, so the horizontal kernel ends before it."""
        taps = self.reach + (0 if self.ahead else 1)
        self.horizontal = MaskedConv2d(inputs, halves, (1, taps), present=self.reach, own=not first, dilation=dilation)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.mix = pointwise(groups, halves)
        """Residual and skip connection side by side."""
        self.label = nn.Embedding(num_classes, 4 * channels) if num_classes else None

    def label_terms(self, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the label adds in the gates of the two stacks: ``(B, 2C, 1, 1)`` each; zeros ``(1, ...)`` without one."""
        terms = self.mix.weight.new_zeros(1, 4 * self.channels) if self.label is None else self.label(y)
        return terms[:, :, None, None].chunk(2, dim=1)

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """v, h ``(B, C_in, H, W)`` -> new v, new h, skip, all ``(B, C, H, W)``."""
        label_v, label_h = self.label_terms(y)
        m = self.reach * self.dilation
        v_pre = self.vertical(F.pad(v, (m, m, m, 0)))
        left = F.pad(h, (m, -self.dilation if self.ahead else 0, 0, 0))
        from_above = F.pad(self.down(v_pre), (0, 0, 1, -1))
        out = self.mix(_gate(self.horizontal(left) + from_above + label_h))
        residual, skip = out.chunk(2, dim=1)
        return _gate(v_pre + label_v), residual if self.first else h + residual, skip
