"""Normalizing flows: explicit density by a change of variables, log p(x) = log p(z) + log |det dz/dx|, z = f(x)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, LatentDecoder, LatentImage
from genexp.families.slots.calling import made_by
from genexp.families.slots.flow import BijectionFactory, SourceFactory
from genexp.probability.transforms.base import full_precision
from genexp.probability.transforms.elementwise import Standardise
from genexp.ranges import at_least


class Flow(GenerativeModule, ExactLikelihood, LatentDecoder, LatentImage):
    """A bijection f between reals x and noise z (Dinh et al. 2014; Rezende & Mohamed 2015; Papamakarios et al. 2021).

    Args:
        transform: :class:`~genexp.families.slots.flow.BijectionFactory`, of f. A conditional model gives it one-hot labels.
        source: :class:`~genexp.families.slots.flow.SourceFactory`, of p(z).
        standardise: let f begin with (x - mean) / sd of the training data, whose log-volume belongs to the density.
        initial_examples: so many training examples, at least 1, which the seed chooses, give means and standard deviations, and
            whatever else in f starts from data; None for all.
        common: see :class:`GenerativeModule`.

    Raises:
        ValueError: the data have levels, an argument is out of range, or f has no form for the data.
    """

    def __init__(
        self,
        *,
        transform: BijectionFactory,
        source: SourceFactory,
        standardise: bool,
        initial_examples: int | None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if self.levels is not None:
            raise ValueError(
                f"levels={self.levels}: a flow is a density of reals, levels null; model=dequantised makes it one of levels"
            )
        if initial_examples is not None:
            at_least(1, initial_examples=initial_examples, hint=", or null for all")
        self.initial_examples = initial_examples
        self.standardise = Standardise(self.shape) if standardise else None
        self.transform = made_by(transform, shape=self.shape, context_dim=self.label_width)
        self.latent_dim = self.dims
        self.source = made_by(source, dims=self.dims)

    def context_of(self, y: Tensor | None) -> Tensor | None:
        """What f is told: one-hot labels ``(B, num_classes)``; None for an unconditional model."""
        y = self.labels(y)
        return None if y is None else F.one_hot(y, self.label_width).to(self.dtype)

    def to_latent(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """z = f(x) ``(B, D)`` and log |det dz/dx| ``(B,)``."""
        log_volume = x.new_zeros(len(x))
        if self.standardise is not None:
            x, log_volume = self.standardise(x)
        z, log_det = self.transform(x, self.context_of(y))
        return z.flatten(1), log_volume + log_det

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """In full precision also where training is not."""
        z, log_det = self.to_latent(x, y)
        with full_precision(z):
            return self.source(z) + log_det

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``: -log p(x), ``(B,)`` in nats."""
        return {"loss": -self.log_prob(x, y)}

    @torch.no_grad()
    def initialise(self, x: Tensor, y: Tensor | None) -> None:
        x = x.to(self.dtype)
        if self.standardise is not None:
            x = self.standardise.initialise(x, None)
        self.source.initialise(self.transform.initialise(x, self.context_of(y)).flatten(1))

    # --- sampling ----------------------------------------------------------------------------------------------

    def draw(self, n: int, y: Tensor | None, *, temperature: float = 1.0) -> Tensor:
        """x = f^-1(z), z ~ p(z).

        Args:
            n: number of examples.
            y: labels ``(n,)``, or None.
            temperature: of z, at least 0. Another value than 1 draws from another model than the one whose likelihood is reported.
        """
        at_least(0, temperature=temperature)
        return self.decode(self.source.sample(n, temperature), y)

    def sample_prior(self, n: int) -> Tensor:
        return self.source.sample(n)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.transform.inverse(z.view(-1, *self.transform.latent_shape), self.context_of(y))
        return x if self.standardise is None else self.standardise.inverse(x)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(z, y)

    # --- the latent image of data -------------------------------------------------------------------------------

    def latent(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.to_latent(x, y)[0]

    def latent_cdf(self, z: Tensor) -> Tensor:
        return self.source.cdf(z)
