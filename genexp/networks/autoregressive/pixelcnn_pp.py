"""PixelCNN++ (Salimans, Karpathy, Chen, Kingma, "PixelCNN++: improving the PixelCNN with discretized logistic mixture
likelihood and other modifications", ICLR 2017), for images of any number of channels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Sampler, require_images
from genexp.networks.autoregressive.pixelcnn_pp_layers import First, Grow, Layer, Shrink, concat_elu, normalised
from genexp.networks.autoregressive.pixelcnn_pp_sampler import PixelCNNppSampler
from genexp.ranges import at_least, inside


class PixelCNNpp(AutoregressiveNetwork):
    """PixelCNN++: raster order, all channels of a pixel together, and short-cuts across changes of resolution.

    A row of the stream u sees the rows above it, a pixel of the stream ul those and the pixels to its left. Both run through
    ``resnets`` layers at every resolution, from full to coarse, and back again through as many and, below the coarsest, one
    more; on the way back each layer also receives what the layer opposite received. Two downsamplings, 5 resnets, 160
    filters and dropout 0.5 make the network of the paper for CIFAR-10.

    Args:
        shape: (C, H, W), H and W multiples of 2^downsamplings.
        num_params: parameters per pixel.
        num_classes: number of labels; 0 for an unconditional network. Labels enter every layer.
        levels: see :class:`AutoregressiveNetwork`.
        filters: channels F of both streams, at least 1.
        resnets: layers per resolution, at least 1.
        downsamplings: how often the sides are halved, at least 0.
        dropout: share of activations dropped in training, in [0, 1).

    Raises:
        ValueError: an argument is out of range, or the sides cannot be halved so often.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        filters: int,
        resnets: int,
        downsamplings: int,
        dropout: float,
    ) -> None:
        super().__init__(shape, num_params, levels)
        channels, height, width = require_images(shape, "PixelCNNpp")
        at_least(1, filters=filters, resnets=resnets)
        at_least(0, downsamplings=downsamplings)
        inside(0, 1, ends="[)", dropout=dropout)
        if height % 2**downsamplings or width % 2**downsamplings:
            raise ValueError(
                f"data.shape={list(shape)}: downsamplings={downsamplings} needs sides that are multiples of "
                f"{2**downsamplings}"
            )
        self.group = channels
        layer = (filters, num_classes, dropout)
        self.first = First(channels + 1, filters)
        self.contract = nn.ModuleList(
            nn.ModuleList(Layer(*layer, short_cut=False) for _ in range(resnets)) for _ in range(downsamplings + 1)
        )
        """Layers of each resolution, from full to coarse, on the way there."""
        self.expand = nn.ModuleList(
            nn.ModuleList(Layer(*layer, short_cut=True) for _ in range(resnets + (level < downsamplings)))
            for level in range(downsamplings + 1)
        )
        """Layers of each resolution, from full to coarse, on the way back."""
        self.shrink = nn.ModuleList(Shrink(filters) for _ in range(downsamplings))
        """From each resolution to the next coarser one."""
        self.grow = nn.ModuleList(Grow(filters) for _ in range(downsamplings))
        """To each resolution from the next coarser one."""
        self.head = normalised(nn.Conv2d(filters, num_params, 1))
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        """See :meth:`AutoregressiveNetwork.forward`: ``(B, C, H, W)`` -> ``(B, P, 1, H, W)``."""
        border = torch.ones_like(x[:, :1])  # tells the zero padding from a pixel
        x = torch.cat([2 * x - 1, border], dim=1).contiguous(memory_format=torch.channels_last)
        u, ul = self.first(x)
        active, skips = (concat_elu(u), concat_elu(ul)), []
        for level, layers in enumerate(self.contract):
            if level > 0:
                u, ul = self.shrink[level - 1](u, ul)
                active = concat_elu(u), concat_elu(ul)
            skips.append(active)
            for layer in layers:
                u, u_active, ul = layer(u, active[0], ul, active[1], (), y)
                active = u_active, concat_elu(ul)
                skips.append(active)
        skips.pop()
        for level in reversed(range(len(self.expand))):
            if level < len(self.grow):
                u, ul = self.grow[level](u, ul)
                active = concat_elu(u), concat_elu(ul)
            for layer in self.expand[level]:
                u, u_active, ul = layer(u, active[0], ul, active[1], skips.pop(), y)
                active = u_active, concat_elu(ul)
        return self.head(F.elu(ul)).unsqueeze(2)

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        return PixelCNNppSampler(
            self.shape,
            n,
            y,
            first=self.first,
            contract=self.contract,
            expand=self.expand,
            shrink=self.shrink,
            grow=self.grow,
            head=self.head,
        )
