"""Generator of StyleGAN2 (Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020), for square images
of 8 to 64 pixels. The sides halve as in :func:`genexp.networks.convolutional.pyramid`."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.adversarial.style_layers import (
    EqualisedLinear,
    ModulatedConv2d,
    StyledConv,
    activate,
    double,
    style_widths,
    unit_rms,
)
from genexp.ranges import at_least, inside


class MappingNetwork(nn.Module):
    """z ``(B, latent_dim)``, y -> w ``(B, w_dim)``, by fully connected layers (Karras, Laine, Aila, "A style-based generator
    architecture for generative adversarial networks", CVPR 2019, section 2). z and the embedded label are each divided by
    their root mean square first.

    Args:
        latent_dim: dimensions of z.
        num_classes: number of labels; 0 for none.
        w_dim: dimensions of w.
        layers: number of layers, at least 1.
        multiplier: of their learning rate; 0.01 in the paper.
        mean_decay: of the running mean of w, in [0, 1).
    """

    def __init__(
        self, *, latent_dim: int, num_classes: int, w_dim: int, layers: int, multiplier: float, mean_decay: float
    ) -> None:
        super().__init__()
        at_least(1, mapping_layers=layers)
        inside(0, 1, ends="[)", mean_decay=mean_decay)
        self.num_classes, self.mean_decay = num_classes, mean_decay
        self.embedding = EqualisedLinear(num_classes, w_dim) if num_classes else None
        widths = [latent_dim + (w_dim if num_classes else 0)] + [w_dim] * layers
        self.layers = nn.ModuleList(EqualisedLinear(a, b, multiplier=multiplier) for a, b in itertools.pairwise(widths))
        self.register_buffer("w_mean", torch.zeros(w_dim))
        """Running mean of w, over all labels, ``(w_dim,)``."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z ``(B, latent_dim)``, y ``(B,)`` or None -> w ``(B, w_dim)``. In training mode the running mean takes note of w."""
        w = unit_rms(z)
        if self.embedding is not None:
            label = self.embedding(F.one_hot(y, self.num_classes).to(z.dtype))
            w = torch.cat([w, unit_rms(label)], dim=1)
        for layer in self.layers:
            w = activate(layer(w))
        if self.training:
            self.w_mean.lerp_(w.detach().mean(0).to(self.w_mean.dtype), 1 - self.mean_decay)
        return w

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """mean + psi (w - mean) for the running mean (Karras, Laine, Aila 2019, appendix B): w ``(B, ..., w_dim)`` -> the same
        shape. psi = 1 leaves w as it is; the smaller, the less the images vary."""
        return self.w_mean.lerp(w, psi)


class SynthesisNetwork(nn.Module):
    """w -> images ``(B, C, S, S)``, with output skips: the image is the sum over the resolutions of what each contributes,
    brought to the full side (figure 7b). There are two styled convolutions at each resolution, one at the coarsest.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        w_dim: dimensions of w.
        channels: features at the finest resolution, doubled with every halving of the side.
        max_channels: their largest number.
    """

    def __init__(self, *, shape: Sequence[int], w_dim: int, channels: int, max_channels: int) -> None:
        super().__init__()
        widths, side = style_widths(shape, channels, max_channels)
        widths.reverse()
        self.constant = nn.Parameter(torch.randn(1, widths[0], side, side))
        self.convs = nn.ModuleList([StyledConv(widths[0], widths[0], w_dim, up=False)])
        for a, b in itertools.pairwise(widths):
            self.convs += [StyledConv(a, b, w_dim, up=True), StyledConv(b, b, w_dim, up=False)]
        self.to_image = nn.ModuleList(
            ModulatedConv2d(width, shape[0], w_dim, kernel=1, demodulate=False, up=False) for width in widths
        )
        self.num_layers = len(self.convs) + 1
        """How many w an image takes: one for each styled convolution, and one for the last contribution to the image. The
        other contributions share theirs with the convolution that comes next."""
        self.to(memory_format=torch.channels_last)

    def forward(self, w: Tensor, noise: bool = True) -> Tensor:
        """Make images.

        Args:
            w: ``(B, w_dim)``, or one for each layer, ``(B, num_layers, w_dim)``.
            noise: draw the noise inputs; without them the images are a function of w.

        Returns:
            ``(B, C, S, S)``.
        """
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.num_layers, -1)
        styles = w.unbind(1)
        x = self.convs[0](self.constant.expand(len(w), -1, -1, -1), styles[0], noise)
        image = self.to_image[0](x, styles[1])
        for i in range(1, len(self.to_image)):
            x = self.convs[2 * i - 1](x, styles[2 * i - 1], noise)
            x = self.convs[2 * i](x, styles[2 * i], noise)
            image = double(image) + self.to_image[i](x, styles[2 * i + 1])
        return image


class StyleGenerator(nn.Module):
    """z ``(B, latent_dim)``, y -> images ``(B, C, S, S)``. The output is linear, as in the paper, without a tanh: it is near
    [-1, 1] by training alone, and quantisation clamps it.

    Args:
        shape: (C, S, S) with S even, from 8 to 64.
        levels: not used.
        latent_dim: dimensions of z.
        num_classes: number of labels; 0 for none.
        w_dim: dimensions of w.
        mapping_layers: layers of the mapping network.
        mapping_multiplier: of the learning rate of the mapping network; 0.01 in the paper.
        mean_decay: of the running mean of w; 0.995 in the paper's code.
        channels: features at the finest resolution, doubled with every halving of the side.
        max_channels: their largest number.
        mixing_probability: share of the examples that are made, in training mode, of two w: one up to a random layer and
            another from there on (Karras, Laine, Aila 2019, section 3.1); in [0, 1], 0.9 in the paper.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        levels: int | None,
        latent_dim: int,
        num_classes: int,
        w_dim: int,
        mapping_layers: int,
        mapping_multiplier: float,
        mean_decay: float,
        channels: int,
        max_channels: int,
        mixing_probability: float,
    ) -> None:
        super().__init__()
        inside(0, 1, ends="[]", mixing_probability=mixing_probability)
        self.mixing_probability = mixing_probability
        self.mapping = MappingNetwork(
            latent_dim=latent_dim,
            num_classes=num_classes,
            w_dim=w_dim,
            layers=mapping_layers,
            multiplier=mapping_multiplier,
            mean_decay=mean_decay,
        )
        self.synthesis = SynthesisNetwork(shape=shape, w_dim=w_dim, channels=channels, max_channels=max_channels)

    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """w for each layer, mixed in training mode: z ``(B, latent_dim)``, y ``(B,)`` or None -> ``(B, num_layers, w_dim)``."""
        layers = self.synthesis.num_layers
        if not self.training or self.mixing_probability == 0:
            return self.mapping(z, y)[:, None].expand(-1, layers, -1)
        w = self.mapping(torch.cat([z, torch.randn_like(z)]), None if y is None else torch.cat([y, y]))
        first, second = w[:, None].chunk(2)
        mixed = torch.rand(len(z), 1, device=z.device) < self.mixing_probability
        start = torch.randint(1, layers, (len(z), 1), device=z.device)
        from_second = mixed & (torch.arange(layers, device=z.device) >= start)
        return torch.where(from_second[:, :, None], second, first)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.synthesis(self.styles(z, y))
