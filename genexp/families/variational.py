"""What latent-variable models trained by a lower bound on log p(x) have in common, whatever their latents are."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ImportanceBound, Reconstruction
from genexp.families.slots.autoregressive import ObservationFactory
from genexp.families.slots.calling import made_by
from genexp.probability.latent.importance import importance_bound
from genexp.ranges import at_least

Draws = Callable[..., Tensor]
"""Called with a shape, returns the standard-normal draws ``(k, B, *shape)`` of one group of latents."""


class VariationalModule(GenerativeModule, ImportanceBound, Reconstruction):
    """p(x) = E_{p(z)} p(x | z) with latents z in one or several groups, and a posterior q(z | x).

    Args:
        observation: :class:`~genexp.families.slots.autoregressive.ObservationFactory`, of p(x | z).
        beta: weight of the KL term in the objective (Higgins et al. 2017); at least 0, 1 for the ELBO. The bound that
            is reported does not depend on it.
        k: draws of z for each example of a training batch; above 1 the importance-weighted bound is trained (Burda et al.
            2016), with ``beta`` 1, no warm-up and no free bits.
        kl_warmup_images: the weight grows linearly from 0 to ``beta`` over this many training images; 0 for none.
        free_bits: nats, at least 0, of each group of latents, for whose KL term they stand where its mean over a batch (of one
            process) is less (Kingma et al. 2016, equation 15).
        chunk: at most this many z (but one for each example) are decoded at once by :meth:`bound`, which limits its
            memory.
        temperature: of p(x | z) in samples and reconstructions, at least 0; 1 samples the model whose likelihood is
            bounded, 0 shows the means of p(x | z), as is common.
        base: see :class:`genexp.families.base.GenerativeModule`.

    Raises:
        ValueError: an argument is out of range, or k > 1 goes with a weight of the KL term.
    """

    units: ClassVar[Mapping[str, str]] = dict.fromkeys(("loss", "elbo", "distortion", "rate"), "nats")

    def __init__(
        self,
        *,
        observation: ObservationFactory,
        beta: float,
        k: int,
        kl_warmup_images: int,
        free_bits: float,
        chunk: int,
        temperature: float,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        at_least(0, beta=beta, kl_warmup_images=kl_warmup_images, free_bits=free_bits, temperature=temperature)
        at_least(1, k=k, chunk=chunk)
        if k > 1 and (beta != 1 or kl_warmup_images or free_bits):
            raise ValueError(
                f"k={k}: the importance-weighted bound has no KL term to weigh; set beta 1, kl_warmup_images 0, free_bits 0"
            )
        self.observation = made_by(observation, levels=self.levels)
        self.beta, self.k, self.kl_warmup_images, self.free_bits = beta, k, kl_warmup_images, free_bits
        self.chunk, self.temperature = chunk, temperature

    # --- what a model provides; labels ``y`` are those that the networks receive ----------------------------------

    @abstractmethod
    def encode(self, x: Tensor, y: Tensor | None) -> Any:
        """What q(z | x, y) needs of x, and what is the same for every draw of z."""

    @abstractmethod
    def terms(self, x: Tensor, y: Tensor | None, code: Any, draws: Draws) -> tuple[Tensor, Tensor]:
        """Distortion -log p(x | z) ``(B,)`` and rates ``(B, G)`` of the groups of latents, in nats, for one draw (k = 1) of
        z from q; the expectation of their sum is the negative ELBO."""

    @abstractmethod
    def log_weights(self, x: Tensor, y: Tensor | None, code: Any, draws: Draws) -> Tensor:
        """log p(x, z) - log q(z | x) in nats for z ~ q: ``(k, B)``."""

    # --- what every model has ---------------------------------------------------------------------------------

    @property
    def kl_weight(self) -> float:
        """Present weight of the KL term."""
        warm = min(1.0, self.images_seen / self.kl_warmup_images) if self.kl_warmup_images else 1.0
        return self.beta * warm

    def with_free_bits(self, rates: Tensor) -> Tensor:
        """What training takes for the rate: rates ``(B, G)`` of the groups -> ``(B,)``. Where the mean of a group over the batch
        is below ``free_bits``, these take its place, without a gradient."""
        return (
            torch.where(rates.mean(0) >= self.free_bits, rates, self.free_bits).sum(1)
            if self.free_bits
            else rates.sum(1)
        )

    def importance_weighted(self, weights: Tensor) -> dict[str, Tensor]:
        """The negative of the importance-weighted bound, and the mean over its draws: log weights ``(k, B)`` -> ``(B,)``."""
        return {"loss": log(len(weights)) - weights.logsumexp(0), "elbo": weights.mean(0).detach()}

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss`` = distortion + weight * rate, with the full ``beta`` and no free bits in evaluation mode; ``distortion`` =
        -E_q log p(x|z) by one draw, ``rate`` = KL(q(z|x) || p(z)), ``elbo`` of both. With k > 1 ``loss`` is the negative of
        :meth:`bound`, and ``elbo`` the mean over its k draws. All in nats, ``(B,)``."""
        y = self.labels(y)
        code = self.encode(x, y)

        def draws(*shape: int) -> Tensor:
            return self.noise(len(x), self.k, *shape).transpose(0, 1)

        if self.k > 1:
            return self.importance_weighted(self.log_weights(x, y, code, draws))
        distortion, rates = self.terms(x, y, code, draws)
        rate = rates.sum(1)
        weighed = self.kl_weight * self.with_free_bits(rates) if self.training else self.beta * rate
        return {
            "loss": distortion + weighed,
            "elbo": (-distortion - rate).detach(),
            "distortion": distortion.detach(),
            "rate": rate.detach(),
        }

    def bound(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Importance-weighted bound log (1/k) sum_i p(x, z_i) / q(z_i | x), z_i ~ q (Burda et al. 2016, equation 8).

        Args:
            x: ``(B, *shape)`` in the data space.
            y: labels ``(B,)``, or None.
            k: number of draws of z for each x, at least 1; 1 is the ELBO.

        Returns:
            ``(B,)`` in nats, in memory independent of k.
        """
        y = self.labels(y)
        code = self.encode(x, y)

        def log_weights(n: int) -> Tensor:
            return self.log_weights(x, y, code, lambda *shape: self.noise(n, len(x), *shape))

        return importance_bound(log_weights, k, max(1, self.chunk // len(x)))


def knob(name: str, value: float | None, default: float) -> float:
    """A temperature: ``value``, or ``default`` where it is None.

    Raises:
        ValueError: it is negative.
    """
    value = default if value is None else value
    at_least(0, **{name: value})
    return value


def repeated(x: Tensor | None, k: int) -> Tensor | None:
    """``x`` ``(B, ...)`` k times over, ``(k B, ...)``; None stays None."""
    return None if x is None else x.expand(k, *x.shape).flatten(0, 1)
