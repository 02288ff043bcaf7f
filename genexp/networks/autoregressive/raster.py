"""Images pixel by pixel in raster order: masked convolutions, and groups of features for the channels of a pixel."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.ranges import at_least


def groups_of(features: int, channels: int, name: str) -> Tensor:
    """Features divided into one group per channel of a pixel, contiguous and of nearly equal size (van den Oord et al.,
    "Pixel recurrent neural networks", ICML 2016, section 3.4): the group of each feature, int64 ``(features,)``.

    Raises:
        ValueError: there are fewer features than channels; calls them ``name``.
    """
    at_least(channels, hint=", a feature for each channel of data.shape", **{name: features})
    return torch.arange(features) * channels // features


def bounds_of(groups: Tensor) -> list[slice]:
    """Where the features of each group lie, of groups in ascending order."""
    ends = [0, *groups.bincount().cumsum(0).tolist()]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


class MaskedConv2d(nn.Conv2d):
    """Convolution over the rows above, the pixels to the left and, as far as the groups allow, the present pixel.

    The kernel ends with the row of the present pixel. In this row the taps right of the present pixel are masked; the tap
    at the present pixel connects an input to the outputs of later groups (mask A), or of its own and of later groups
    (mask B). All other taps are free. The caller pads.

    Args:
        in_groups: group of each input, int64 ``(C_in,)``.
        out_groups: group of each output, int64 ``(C_out,)``.
        kernel: (rows, columns).
        present: column of the kernel at the present pixel; the number of columns if the kernel ends to the left of it.
        own: connect inputs to outputs of their own group at the present pixel (mask B).
        dilation: distance between the taps.
    """

    def __init__(
        self, in_groups: Tensor, out_groups: Tensor, kernel: tuple[int, int], present: int, own: bool, dilation: int = 1
    ) -> None:
        super().__init__(len(in_groups), len(out_groups), kernel, dilation=dilation)
        mask = torch.ones_like(self.weight)
        mask[:, :, -1, present + 1 :] = 0
        if present < kernel[1]:
            allowed = in_groups <= out_groups[:, None] if own else in_groups < out_groups[:, None]
            mask[:, :, -1, present] = allowed.to(mask.dtype)
        self.register_buffer("mask", None if mask.all() else mask, persistent=False)
        self.in_groups, self.out_groups = in_groups, out_groups

    @property
    def masked(self) -> Tensor:
        """The weight, zero where masked: ``(C_out, C_in, rows, columns)``."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.masked, self.bias, dilation=self.dilation)


def pointwise(in_groups: Tensor, out_groups: Tensor) -> MaskedConv2d:
    """1x1 convolution within a pixel, from each group to itself and to later ones (mask B)."""
    return MaskedConv2d(in_groups, out_groups, (1, 1), 0, own=True)
