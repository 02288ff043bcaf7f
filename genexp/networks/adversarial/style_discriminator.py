"""Discriminator of StyleGAN2 (Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020), for square
images of 8 to 64 pixels. The sides halve as in :func:`genexp.networks.convolutional.pyramid`."""

import itertools
from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn

from genexp.networks.adversarial.style_layers import EqualisedConv2d, EqualisedLinear, activate, blur, style_widths
from genexp.networks.blocks.base import Block
from genexp.ranges import at_least


def with_minibatch_std(x: Tensor, group_size: int) -> Tensor:
    """Append a channel that tells how much the examples of a group differ: the standard deviation over the group, of each
    feature at each place, averaged over these (Karras et al., "Progressive growing of GANs", ICLR 2018, section 3).

    Args:
        x: ``(B, C, H, W)``; neighbours in the batch form a group.
        group_size: largest size of a group, at least 1. Groups have the largest size up to it that divides B.

    Returns:
        ``(B, C + 1, H, W)``.
    """
    size = next(g for g in range(group_size, 0, -1) if len(x) % g == 0)
    groups = x.unflatten(0, (-1, size))
    std = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))  # the root has no gradient at 0
    plane = std.repeat_interleave(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, plane], dim=1)


class StyleDownBlock(Block):
    """(f(x) + skip(x)) / sqrt(2), f two 3x3 convolutions; both halve the sides after a blur (figure 7c):
    ``(B, in_channels, H, W)`` -> ``(B, out_channels, H / 2, W / 2)``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(in_channels, in_channels, 3, padding=1)
        self.second = EqualisedConv2d(in_channels, out_channels, 3, stride=2)
        self.skip = EqualisedConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        short = self.skip(blur(x, padding=1, stride=2))
        x = activate(self.second(blur(activate(self.first(x)), padding=2)))
        return (x + short) / sqrt(2)


class StyleDiscriminator(nn.Module):
    """Images ``(B, C, S, S)``, y -> ``(B, num_outputs)``: a residual network with the minibatch standard deviation. With labels
    the logit of "real" is an inner product of the last features with a vector that is learnt for each label, as in the
    authors' conditional models: the projection of Miyato & Koyama, "cGANs with projection discriminator", ICLR 2018, without
    the term that does not depend on y.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        num_classes: number of labels; 0 for none.
        num_outputs: outputs, at least 1: the logit of "real", then others that do not depend on y.
        channels: features at the finest resolution, doubled with every halving of the side.
        max_channels: their largest number.
        group_size: see :func:`with_minibatch_std`; 4 in the paper.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        num_outputs: int,
        channels: int,
        max_channels: int,
        group_size: int,
    ) -> None:
        super().__init__()
        at_least(1, num_outputs=num_outputs, group_size=group_size)
        self.num_classes, self.group_size = num_classes, group_size
        widths, side = style_widths(shape, channels, max_channels)
        top = widths[-1]
        self.from_image = EqualisedConv2d(shape[0], channels, 1)
        self.blocks = nn.Sequential(*(StyleDownBlock(a, b) for a, b in itertools.pairwise(widths)))
        self.last = EqualisedConv2d(top + 1, top, 3, padding=1)
        self.features = EqualisedLinear(prod((top, side, side)), top)
        self.out = EqualisedLinear(top, max(num_classes, 1) + num_outputs - 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """x ``(B, C, S, S)``, y ``(B,)`` or None -> ``(B, num_outputs)``."""
        h = self.blocks(activate(self.from_image(x)))
        h = activate(self.last(with_minibatch_std(h, self.group_size)))
        out = self.out(activate(self.features(h.flatten(1))))
        if not self.num_classes:
            return out
        return torch.cat([out.gather(1, y[:, None]), out[:, self.num_classes :]], dim=1)
