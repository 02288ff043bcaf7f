"""Encoder and decoder of a deep hierarchical VAE (Child, "Very deep VAEs generalize autoregressive models and can outperform them
on images", ICLR 2021): features from the bottom up, latents from the top down.

Groups of latents lie on square grids of several sides, coarse ones first. Every layer whose output enters a sum over many blocks
starts 1 / sqrt(number of blocks) as large as PyTorch makes it, as in the paper.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.blocks.base import Block
from genexp.ranges import at_least


def grid_sides(shape: Sequence[int], reductions: Sequence[int | None]) -> list[int]:
    """Sides of the grids of latents, from the top down.

    Args:
        shape: (C, S, S).
        reductions: S over the side of each grid; None for a side of 1.

    Raises:
        ValueError: the images are not square, a reduction does not divide their side, or the sides do not grow by whole factors.
    """
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(
            f"data.shape={list(shape)}: a hierarchical VAE needs square images [C, S, S]; for other data choose model=vae or "
            "model=iwae_2l"
        )
    if not reductions or any(r is not None and (r < 1 or shape[1] % r) for r in reductions):
        raise ValueError(
            f"reductions={list(reductions)}: must be at least one, each null or a divisor of {shape[1]}, the side of the images "
            f"(data.shape={list(shape)})"
        )
    sides = [1 if r is None else shape[1] // r for r in reductions]
    if any(b <= a or b % a for a, b in itertools.pairwise(sides)):
        raise ValueError(f"reductions={list(reductions)}: the sides {sides} must grow by whole factors")
    return sides


def _counts(name: str, blocks: Sequence[int], sides: Sequence[int]) -> None:
    if len(blocks) != len(sides) or min(blocks) < 1:
        raise ValueError(f"{name}={list(blocks)}: must be {len(sides)} numbers, one for each side, each at least 1")


class Bottleneck(nn.Sequential):
    """Convolutions 1x1, 3x3, 3x3, 1x1, each after a GELU; 3x3 ones are 1x1 on grids of side 1 and 2. ``(B, C, s, s)`` ->
    ``(B, out_channels, s, s)``.

    Args:
        channels: of the input.
        hidden: channels in the middle.
        out_channels: of the output.
        side: s.
        scale: of the initial weights of the last layer.
    """

    def __init__(self, channels: int, hidden: int, out_channels: int, side: int, scale: float) -> None:
        at_least(1, bottleneck=hidden)
        widths, kernel = (channels, hidden, hidden, hidden, out_channels), 3 if side > 2 else 1
        layers: list[nn.Module] = []
        for (a, b), k in zip(itertools.pairwise(widths), (1, kernel, kernel, 1), strict=True):
            layers += [nn.GELU(), nn.Conv2d(a, b, k, padding=k // 2)]
        super().__init__(*layers)
        with torch.no_grad():
            self[-1].weight *= scale


class BottomUpBlock(Block):
    """h + bottleneck(h): ``(B, C, s, s)`` -> ``(B, C, s, s)``."""

    def __init__(self, channels: int, bottleneck: int, side: int, scale: float) -> None:
        super().__init__()
        self.residual = Bottleneck(channels, bottleneck, channels, side, scale)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.residual(h)


class BottomUp(nn.Module):
    """The encoder: residual blocks on every grid, the finest first, with average pooling in between.

    Args:
        shape: (C, S, S).
        sides: of the grids of latents, from the top down.
        channels: of the features.
        bottleneck: channels in the middle of a block.
        blocks: number of blocks on each grid, from the top down.
    """

    def __init__(
        self, *, shape: Sequence[int], sides: Sequence[int], channels: int, bottleneck: int, blocks: Sequence[int]
    ) -> None:
        super().__init__()
        _counts("encoder.blocks", blocks, sides)
        self.sides, self.counts, self.reduction = tuple(sides), tuple(blocks), shape[1] // sides[-1]
        self.stem = nn.Conv2d(shape[0] * self.reduction**2, channels, 3, padding=1)
        """Of the squares of pixels that a point of the finest grid stands for."""
        scale = sum(blocks) ** -0.5
        self.blocks = nn.ModuleList(
            BottomUpBlock(channels, bottleneck, side, scale)
            for side, count in zip(self.sides[::-1], self.counts[::-1], strict=True)
            for _ in range(count)
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x ``(B, C, S, S)`` in [0, 1] -> features ``(B, channels, s, s)`` of every grid, from the top down."""
        h, blocks, features = self.stem(F.pixel_unshuffle(x, self.reduction)), iter(self.blocks), []
        for side, count in zip(self.sides[::-1], self.counts[::-1], strict=True):
            h = F.avg_pool2d(h, h.shape[2] // side)
            for block in itertools.islice(blocks, count):
                h = block(h)
            features.append(h)
        return features[::-1]


class Group(NamedTuple):
    """One group of latents: the draw z, its eps, and mean and log standard deviation of prior and posterior, all
    ``(B, latent_channels, s, s)``; those of the posterior are None where z was drawn from the prior."""

    z: Tensor
    eps: Tensor
    prior_mean: Tensor
    prior_log_std: Tensor
    mean: Tensor | None
    log_std: Tensor | None


def bounded(log_std: Tensor) -> Tensor:
    """5 tanh(log_std / 5): a large one would make all below overflow (Vahdat & Kautz, "NVAE", NeurIPS 2020, in their code)."""
    return 5 * torch.tanh(log_std / 5)


class TopDownBlock(Block):
    """One group of latents z, with prior p(z | h) and posterior q(z | h, features), where h holds what is above; then h takes
    z up (figure 3 of the paper).

    Args:
        channels: of h and of the features.
        latent_channels: of z.
        bottleneck: channels in the middle of the networks.
        side: of the grid.
        num_classes: number of labels, of which h takes an embedding up first; 0 for none.
        scale: of the initial weights of all that is added to h.
    """

    def __init__(
        self, *, channels: int, latent_channels: int, bottleneck: int, side: int, num_classes: int, scale: float
    ) -> None:
        super().__init__()
        self.latent_shape = (latent_channels, side, side)
        self.label = nn.Embedding(num_classes, channels) if num_classes else None
        self.prior = Bottleneck(channels, bottleneck, 2 * latent_channels + channels, side, scale)
        """Mean, log standard deviation, and what h takes up beside z. (The paper starts its last layer at 0.)"""
        self.posterior = Bottleneck(2 * channels, bottleneck, 2 * latent_channels, side, 1.0)
        self.take_up = nn.Conv2d(latent_channels, channels, 1)
        self.residual = Bottleneck(channels, bottleneck, channels, side, scale)
        with torch.no_grad():
            self.take_up.weight *= scale

    def forward(
        self, h: Tensor, features: Tensor | None, y: Tensor | None, eps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        """h and features ``(B, C, s, s)``, standard-normal eps ``(B, latent_channels, s, s)`` -> new h, z, and mean and log
        standard deviation of prior and posterior. Without features, z comes from the prior."""
        if self.label is not None:
            h = h + self.label(y)[:, :, None, None]
        c = self.latent_shape[0]
        prior_mean, prior_log_std, more = self.prior(h).split([c, c, h.shape[1]], dim=1)
        prior_log_std, mean, log_std = bounded(prior_log_std), None, None
        if features is None:
            z = prior_mean + prior_log_std.exp() * eps
        else:
            mean, log_std = self.posterior(torch.cat([h, features], dim=1)).chunk(2, dim=1)
            log_std = bounded(log_std)
            z = mean + log_std.exp() * eps
        h = h + more + self.take_up(z.to(more.dtype))
        return h + self.residual(h), z, prior_mean, prior_log_std, mean, log_std


class TopDown(nn.Module):
    """The decoder, and what is above a group in the posterior too (Sonderby et al., "Ladder variational autoencoders", NeurIPS
    2016): blocks on every grid, with nearest-neighbour upsampling in between, and a learned start for each grid.

    Args:
        shape: (C, S, S).
        num_params: parameters P of a dimension.
        sides: of the grids, from the top down.
        num_classes: number of labels; 0 for none.
        channels: of h and of the encoder's features.
        latent_channels: of every group of latents.
        bottleneck: channels in the middle of the networks.
        blocks: number of groups of latents on each grid, from the top down.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        sides: Sequence[int],
        num_classes: int,
        channels: int,
        latent_channels: int,
        bottleneck: int,
        blocks: Sequence[int],
    ) -> None:
        super().__init__()
        _counts("decoder.blocks", blocks, sides)
        at_least(1, latent_channels=latent_channels)
        self.counts, self.reduction = tuple(blocks), shape[1] // sides[-1]
        self.of_dimension = (num_params, shape[0])
        self.starts = nn.ParameterList(0.1 * torch.randn(1, channels, side, side) for side in sides)
        common = {"channels": channels, "latent_channels": latent_channels, "bottleneck": bottleneck}
        common |= {"num_classes": num_classes, "scale": sum(blocks) ** -0.5}
        self.blocks = nn.ModuleList(
            TopDownBlock(side=side, **common) for side, count in zip(sides, blocks, strict=True) for _ in range(count)
        )
        self.head = nn.Conv2d(channels, num_params * shape[0] * self.reduction**2, 3, padding=1)
        """Parameters of the squares of pixels that a point of the finest grid stands for."""
        self.to(memory_format=torch.channels_last)

    @property
    def latent_shapes(self) -> list[tuple[int, int, int]]:
        """Shape of every group of latents, from the top down."""
        return [block.latent_shape for block in self.blocks]

    def forward(
        self, features: Sequence[Tensor] | None, y: Tensor | None, eps: Sequence[Tensor]
    ) -> tuple[Tensor, list[Group]]:
        """Draws all groups, from the posterior with ``features`` and from the prior without.

        Args:
            features: ``(B, channels, s, s)`` of every grid, from the top down.
            y: labels ``(B,)``, or None.
            eps: standard-normal draws ``(B, *latent_shape)`` of every group, from the top down.

        Returns:
            The parameters ``(B, P, C, S, S)`` of p(x | z), and the groups from the top down.
        """
        blocks, groups = zip(self.blocks, eps, strict=True), []
        h = None
        for grid, (start, count) in enumerate(zip(self.starts, self.counts, strict=True)):
            if h is None:
                h = start.expand(len(eps[0]), -1, -1, -1)
            else:
                h = start + F.interpolate(h, size=start.shape[2:], mode="nearest")  # in the memory format of the start
            for block, e in itertools.islice(blocks, count):
                h, z, *moments = block(h, None if features is None else features[grid], y, e)
                groups.append(Group(z, e, *moments))
        params = F.pixel_shuffle(self.head(h), self.reduction)
        return params.unflatten(1, self.of_dimension), groups
