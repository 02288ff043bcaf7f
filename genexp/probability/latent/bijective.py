"""Priors and posteriors by bijections: the flows that are densities of data, as densities of z."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from genexp.probability.latent.flow_posteriors import BaseFactory, FlowPosterior
from genexp.probability.latent.priors import Prior
from genexp.probability.transforms.base import Bijection, full_precision
from genexp.probability.transforms.sources import Source
from genexp.ranges import at_least


class MapFactory(Protocol):
    """Makes a bijection of vectors."""

    def __call__(self, *, shape: Sequence[int], context_dim: int) -> Bijection:
        """``shape`` is (latent_dim,); ``context_dim`` the dimensions of what the encoder tells it, or 0."""


class NoiseFactory(Protocol):
    """Makes the distribution that a prior carries z to."""

    def __call__(self, *, dims: int) -> Source:
        """``dims`` is latent_dim."""


class BijectivePrior(Prior):
    """log p(z) = log source(f(z)) + log |det df/dz|, learnt (Chen et al., "Variational lossy autoencoder", 2017).

    Args:
        transform: makes f. With layers that are autoregressive towards the source, a draw takes latent_dim passes.
        source: makes the distribution of f(z).
        common: see :class:`Prior`.
    """

    def __init__(self, *, transform: MapFactory, source: NoiseFactory, **common: Any) -> None:
        super().__init__(**common)
        self.transform = transform(shape=(self.latent_dim,), context_dim=0)
        self.source = source(dims=self.latent_dim)

    def log_prob(self, z: Tensor) -> Tensor:
        noise, log_det = self.transform(z.reshape(-1, self.latent_dim))
        with full_precision(noise):
            return (self.source(noise) + log_det).view(z.shape[:-1])

    def sample(self, n: int, like: Tensor) -> Tensor:
        return self.transform.inverse(self.source.sample(n).to(like))


class BijectivePosterior(FlowPosterior):
    """z = f(z_0; context), z_0 ~ ``base``, with a context that the encoder gives (Rezende & Mohamed 2015; Kingma et al. 2016).

    Args:
        latent_dim, base: see :class:`FlowPosterior`.
        transform: makes f, in the direction in which autoregressive layers take one pass.
        context_dim: dimensions of the context, at least 1.
    """

    def __init__(self, latent_dim: int, base: BaseFactory, transform: MapFactory, context_dim: int) -> None:
        at_least(1, context_dim=context_dim)
        super().__init__(latent_dim, base, depth=1, flow_params=context_dim)
        self.transform = transform(shape=(latent_dim,), context_dim=context_dim)

    def step(self, t: int, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        context = params.expand(len(z), *params.shape).flatten(0, 1)
        moved, log_det = self.transform(z.flatten(0, 1), context)
        return moved.view_as(z), log_det.view(z.shape[:2])
