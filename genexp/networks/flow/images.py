"""Flows of images: couplings of channels, at several scales."""

from collections.abc import Sequence
from math import prod
from typing import Protocol

import torch
from torch import Tensor
from zuko.utils import unpack

from genexp.networks.flow.convolutional import CouplingNetworkFactory
from genexp.networks.flow.stack import UnivariateFactory
from genexp.probability.transforms.base import Bijection, Composition
from genexp.probability.transforms.images import ActNorm, InvertibleConvolution, Squeeze, check_image
from genexp.ranges import at_least


class ChannelCoupling(Bijection):
    """z_b = f(x_b; parameters given x_a and the context), and z_a = x_a, of the channels of an image (Dinh et al. 2014, 2017).

    Args:
        shape: of x ``(C, H, W)``.
        context_dim: dimensions of the context; 0 for none.
        kept: bool ``(C,)``, which channels are a; some, and not all.
        univariate: makes f, with the shapes of its parameters.
        network: makes the network that gives the parameters.
    """

    def __init__(
        self,
        shape: Sequence[int],
        context_dim: int,
        kept: Tensor,
        univariate: UnivariateFactory,
        network: CouplingNetworkFactory,
    ) -> None:
        super().__init__(shape)
        self.univariate = univariate()
        self.moved_count, self.total = int((~kept).sum()), sum(prod(shape) for shape in self.univariate.shapes)
        self.network = network(
            in_channels=int(kept.sum()), out_channels=self.moved_count * self.total, context_dim=context_dim
        )
        kept_channels, moved_channels = kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]
        self.register_buffer("kept", kept_channels, persistent=False)
        self.register_buffer("moved", moved_channels, persistent=False)
        self.register_buffer("places", torch.cat([kept_channels, moved_channels]).argsort(), persistent=False)

    def _function(self, a: Tensor, context: Tensor | None) -> torch.distributions.Transform:
        """f of b ``(B, C_b, H, W)``, given a ``(B, C_a, H, W)``."""
        parameters = self.network(a, context).unflatten(1, (self.moved_count, self.total)).movedim(2, -1)
        return self.univariate(*unpack(parameters, self.univariate.shapes))

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b], 1).index_select(1, self.places)

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        a, b = x.index_select(1, self.kept), x.index_select(1, self.moved)
        b, log_slopes = self._function(a, context).call_and_ladj(b)
        return self._joined(a, b), log_slopes.flatten(1).sum(1)

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        a, b = z.index_select(1, self.kept), z.index_select(1, self.moved)
        return self._joined(a, self._function(a, context).inv(b))


def first_half(channels: int) -> Tensor:
    """Which of ``channels``, an even number, are among the first half."""
    return torch.arange(channels) < channels // 2


class SplitPrior(ChannelCoupling):
    """p(z_b | z_a) of the half z_b of the channels that leaves a scale, given the half z_a that stays: (z_b - m(z_a)) / sd(z_a) is
    as the source says, so that before a standard-normal source it is Gaussian (Kingma & Dhariwal, "Glow", 2018, section 3.6).

    Args:
        shape, context_dim, univariate, network: see :class:`ChannelCoupling`.
    """

    def __init__(
        self, *, shape: Sequence[int], context_dim: int, univariate: UnivariateFactory, network: CouplingNetworkFactory
    ) -> None:
        super().__init__(shape, context_dim, first_half(shape[0]), univariate, network)


class GlowSteps(Composition):
    """Steps of an ActNorm, an invertible 1x1 convolution and a coupling of half of the channels with the other half (Kingma &
    Dhariwal, "Glow", 2018, section 3).

    Args:
        shape, context_dim, univariate, network: see :class:`ChannelCoupling`; the number of channels is even.
        depth: number of steps, at least 1.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        context_dim: int,
        depth: int,
        univariate: UnivariateFactory,
        network: CouplingNetworkFactory,
    ) -> None:
        at_least(1, depth=depth)
        parts: list[Bijection] = []
        for _ in range(depth):
            coupling = ChannelCoupling(shape, context_dim, first_half(shape[0]), univariate, network)
            parts += [ActNorm(shape), InvertibleConvolution(shape), coupling]
        super().__init__(parts)


class RealNVPSteps(Composition):
    """Couplings with checkerboard masks, then such with masks of channels; what one keeps the next one moves (Dinh et al., "Density
    estimation using Real NVP", 2017, sections 3.4 to 3.6).

    In the paper batch normalisation follows a coupling; its statistics would tie the examples of a batch, and an ActNorm is here
    in its place. In the paper images are squeezed between the two kinds of masks; here they are squeezed before both, so that the
    networks of checkerboard couplings see 2x2 blocks of pixels, of which they are given two: at a quarter of the cost.

    Args:
        shape, context_dim, univariate, network: see :class:`ChannelCoupling`; the channels are those of a
            :class:`~genexp.probability.transforms.images.Squeeze`.
        checkerboards, channels: numbers of couplings with masks of each kind, at least 1.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        context_dim: int,
        checkerboards: int,
        channels: int,
        univariate: UnivariateFactory,
        network: CouplingNetworkFactory,
    ) -> None:
        at_least(1, checkerboards=checkerboards, channels=channels)
        place = torch.arange(shape[0]) % 4  # 2 i + j of pixel (i, j) in its block
        diagonal = (place == 0) | (place == 3)
        masks = [diagonal if i % 2 else ~diagonal for i in range(checkerboards)]
        masks += [first_half(shape[0]) if i % 2 == 0 else ~first_half(shape[0]) for i in range(channels)]
        parts: list[Bijection] = []
        for mask in masks:
            parts += [ActNorm(shape), ChannelCoupling(shape, context_dim, mask, univariate, network)]
        super().__init__([*parts, ActNorm(shape)])


class StepsFactory(Protocol):
    """Makes what happens at a scale."""

    def __call__(self, *, shape: Sequence[int], context_dim: int) -> Bijection:
        """A bijection of images ``(C, H, W)``, whose shape it keeps, with C a multiple of 4."""


class MultiScale(Bijection):
    """Scales of a squeeze and steps; after each but the last one half of the channels leaves and is noise already (Dinh et al.,
    "Density estimation using Real NVP", 2017, section 3.6). z ``(D,)`` has that of the finest scale first.

    Args:
        shape: of one image (C, H, W).
        context_dim: dimensions of the context; 0 for none.
        scales: at least 1; the sides are halved as often.
        steps: makes the steps of a scale.
        split_prior: makes the distribution of what leaves given what stays; None where they are independent.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        context_dim: int,
        scales: int,
        steps: StepsFactory,
        split_prior: StepsFactory | None,
    ) -> None:
        at_least(1, scales=scales)
        check_image(shape, scales)
        super().__init__(shape, (torch.Size(shape).numel(),))
        parts: list[Bijection] = []
        for scale in range(scales):
            squeeze = Squeeze(shape)
            here: list[Bijection] = [squeeze, steps(shape=squeeze.latent_shape, context_dim=context_dim)]
            if split_prior is not None and scale < scales - 1:
                here.append(split_prior(shape=squeeze.latent_shape, context_dim=context_dim))
            parts.append(Composition(here))
            channels, height, width = squeeze.latent_shape
            shape = (channels // 2, height, width)
        self.scales = torch.nn.ModuleList(parts)

    def _leave(self, x: Tensor, scale: int) -> tuple[Tensor, Tensor | None]:
        """What stays, and what leaves after a scale: None after the last."""
        return x.chunk(2, 1) if scale < len(self.scales) - 1 else (x, None)

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        left: list[Tensor] = []
        total = x.new_zeros(len(x))
        for scale, part in enumerate(self.scales):
            x, log_det = part(x, context)
            x, out = self._leave(x, scale)
            left.append(x if out is None else out)
            total = total + log_det
        return torch.cat([out.flatten(1) for out in left], 1), total

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        shapes = [part.latent_shape for part in self.scales]
        shapes = [(shape[0] // 2, *shape[1:]) for shape in shapes[:-1]] + [shapes[-1]]
        left = [out.view(-1, *shape) for out, shape in zip(z.split([prod(s) for s in shapes], 1), shapes, strict=True)]
        x = left.pop()
        for part in reversed(self.scales):
            x = part.inverse(x, context)
            if left:
                x = torch.cat([x, left.pop()], 1)
        return x

    def initialise(self, x: Tensor, context: Tensor | None) -> Tensor:
        left: list[Tensor] = []
        for scale, part in enumerate(self.scales):
            x, out = self._leave(part.initialise(x, context), scale)
            left.append(x if out is None else out)
        return torch.cat([out.flatten(1) for out in left], 1)
