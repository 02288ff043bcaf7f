"""Densities of reals as models of levels: exact on reals, a bound on levels, and never both in one class."""

from math import log
from typing import Any

import torch
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, ImportanceBound, LatentDecoder, LatentImage
from genexp.families.flow import Flow
from genexp.families.slots.calling import made_by
from genexp.families.slots.flow import DensityFactory, DequantisationFactory
from genexp.families.variational import repeated
from genexp.probability.latent.importance import importance_bound
from genexp.probability.transforms.elementwise import Logit, Symmetric
from genexp.ranges import at_least


class Dequantised(GenerativeModule, ImportanceBound):
    """P(x) of levels x by a density p(v) of reals: v = g((x + u) / levels) with noise u ~ q(u | x) that fills the bin of x, and

        log P(x) >= E_q [log p(v) + log |dv / d(x + u)| - log q(u | x)];

    the volume is that of one bin as the density sees it, whatever the number of levels. A density that is uniform on the image of
    [0, 1]^D scores log2(levels) bits/dim.

    Args:
        density: :class:`~genexp.families.slots.flow.DensityFactory`, of p(v).
        dequantisation: :class:`~genexp.families.slots.flow.DequantisationFactory`, of q(u | x).
        logit_alpha: g is the logit of alpha + (1 - 2 alpha) s, for alpha in (0, 0.5); None for 2 s - 1, which is linear.
        chunk: at most this many v (but one for each example) are looked at once by :meth:`bound`, which limits its memory.
        common: see :class:`GenerativeModule`.

    Raises:
        ValueError: the data have no levels, the density has no exact likelihood, or an argument is out of range.
    """

    def __init__(
        self,
        *,
        density: DensityFactory,
        dequantisation: DequantisationFactory,
        logit_alpha: float | None,
        chunk: int,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if self.levels is None:
            raise ValueError(
                "levels=null: data of reals need no dequantisation; choose the density itself, e.g. model=nsf"
            )
        at_least(1, chunk=chunk)
        self.chunk = chunk
        self.density = made_by(
            density,
            shape=self.shape,
            levels=None,
            num_classes=self.num_classes,
            conditional=self.conditional,
            optimizer=None,
            scheduler=None,
        )
        self._check(self.density)
        self.initial_examples = self.density.initial_examples
        self.dequantisation = made_by(
            dequantisation, shape=self.shape, levels=self.levels, num_classes=self.label_width
        )
        self.scaling = Symmetric(self.shape) if logit_alpha is None else Logit(self.shape, logit_alpha)

    def _check(self, density: GenerativeModule) -> None:
        if not isinstance(density, ExactLikelihood):
            raise ValueError(f"density: {type(density).__name__} has no exact likelihood")

    def to_reals(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v ``(B, *shape)`` of levels x, by one draw of u, and log |dv / d(x + u)| - log q(u | x) in nats ``(B,)``."""
        uniform = self.uniform(len(x), *self.shape)
        u, log_q = self.dequantisation(x, self.labels(y), uniform)
        v, log_det = self.scaling((x.to(u.dtype) + u) / self.levels)
        return v, log_det - self.dims * log(self.levels) - log_q

    def to_levels(self, v: Tensor) -> Tensor:
        """The level in whose bin v lies, the nearest one beyond the ends: uint8 ``(B, *shape)``."""
        return (self.scaling.inverse(v) * self.levels).floor().clamp(0, self.levels - 1).to(torch.uint8)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``: that of the density on v, -log p(v), less log |dv / d(x + u)| - log q(u | x): ``(B,)`` in nats."""
        v, log_volume = self.to_reals(x, y)
        return {"loss": self.density.loss(v, y)["loss"] - log_volume}

    def bound(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """log of the mean over ``k`` draws of u of what is bounded in expectation by P(x): ``(B,)`` in nats."""
        self.labels(y)

        def log_weights(n: int) -> Tensor:
            many, labels = repeated(x, n), repeated(y, n)
            v, log_volume = self.to_reals(many, labels)
            return (self.density.log_prob(v, labels) + log_volume).view(n, len(x))

        return importance_bound(log_weights, k, max(1, self.chunk // len(x)))

    @torch.no_grad()
    def initialise(self, x: Tensor, y: Tensor | None) -> None:
        self.density.initialise(self.to_reals(x, y)[0], y)

    def draw(self, n: int, y: Tensor | None, **knobs: Any) -> Tensor:
        """v of the density, and the level in whose bin it lies.

        Args:
            n: number of examples.
            y: labels ``(n,)``, or None.
            knobs: of the density's sampler.
        """
        return self.to_levels(self.density.draw(n, y, **knobs))

    def check_knobs(self, knobs: Any) -> None:
        """Of the density's sampler."""
        self.density.check_knobs(knobs)


class DequantisedFlow(Dequantised, LatentDecoder, LatentImage):
    """A normalizing flow as a model of levels.

    Args:
        parts: see :class:`Dequantised`; the density is a :class:`~genexp.families.flow.Flow`.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.latent_dim = self.density.latent_dim

    def _check(self, density: GenerativeModule) -> None:
        if not isinstance(density, Flow):
            raise ValueError(f"density: {type(density).__name__} is no flow; model._target_ may be Dequantised instead")

    def sample_prior(self, n: int) -> Tensor:
        return self.density.sample_prior(n)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.to_levels(self.density.decode(z, y))

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The middle of the bin of v."""
        middle = self.scaling.inverse(self.density.decode(z, y)) * self.levels - 0.5
        return middle.clamp(0, self.levels - 1)

    def latent(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Of one draw of u."""
        return self.density.latent(self.to_reals(x, y)[0], y)

    def latent_cdf(self, z: Tensor) -> Tensor:
        return self.density.latent_cdf(z)
