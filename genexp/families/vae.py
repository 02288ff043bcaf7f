"""Approximate density: a latent-variable model trained by a lower bound on log p(x) (Kingma & Welling, ICLR 2014)."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LatentVariables, LikelihoodBound, Reconstruction
from genexp.probability.importance import importance_bound
from genexp.probability.observation import Observation, promoted
from genexp.probability.posteriors import DensityPosterior, Posterior
from genexp.probability.priors import Prior, StandardNormal
from genexp.probability.quantize import unit


class VAE(GenerativeModule, LikelihoodBound, LatentVariables, Reconstruction):
    """Variational autoencoder: prior p(z), approximate posterior q(z | x), observation model p(x | z).

    Args:
        encoder: called with ``shape``, ``num_params``, ``num_classes``; makes the network x ``(B, *shape)`` in [0, 1], y ->
            the parameters of q(z | x), ``(B, num_params)``.
        decoder: called with ``shape``, ``latent_dim``, ``num_params``, ``num_classes``; makes the network
            z ``(B, latent_dim)``, y -> parameters ``(B, P, *shape)`` of p(x | z).
        observation: called with ``levels``; makes the form of p(x | z).
        posterior: called with ``latent_dim``; makes the form of q(z | x).
        prior: called with ``latent_dim``, ``shape``, ``posterior_of``; makes p(z). See :class:`Prior`.
        latent_dim: dimensions of z.
        beta: weight of the KL term in the objective (Higgins et al. 2017); at least 0, 1 for the ELBO. The bound that
            is reported does not depend on it.
        k: draws of z for each example of a training batch; above 1 the importance-weighted bound is trained (Burda et al.
            2016), with ``beta`` 1, no warm-up and no free bits.
        kl_warmup_images: the weight grows linearly from 0 to ``beta`` over this many training images; 0 for none.
        free_bits: nats, at least 0: where the mean of the KL term over a batch (of one process) is less, in a dimension of z
            or, where only their sum is known, in all of them, this is put in its place (Kingma et al. 2016, equation 15).
        doubly_reparameterised: with k > 1, the encoder's gradient of Tucker et al. 2019 (equation 9): that of the same bound
            in expectation, of less variance.
        chunk: at most this many z (but one for each example) are decoded at once by :meth:`bound`, which limits its
            memory.
        temperature: of p(x | z) in samples and reconstructions, at least 0; 1 samples the model whose likelihood is
            bounded, 0 shows the means of p(x | z), as is common.
        base: see :class:`GenerativeModule`.

    Raises:
        ValueError: an argument is out of range, or they do not go together.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        observation: Callable[..., Observation],
        posterior: Callable[..., Posterior],
        prior: Callable[..., Prior],
        latent_dim: int,
        beta: float,
        k: int,
        kl_warmup_images: int,
        free_bits: float,
        doubly_reparameterised: bool,
        chunk: int,
        temperature: float,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        at_least = {
            0: {"beta": beta, "kl_warmup_images": kl_warmup_images, "free_bits": free_bits, "temperature": temperature},
            1: {"k": k, "chunk": chunk},
        }
        for least, arguments in at_least.items():
            for name, value in arguments.items():
                if value < least:
                    raise ValueError(f"{name}={value}: must be at least {least}")
        if k > 1 and (beta != 1 or kl_warmup_images or free_bits):
            raise ValueError(
                f"k={k}: the importance-weighted bound has no KL term to weigh; set beta 1, kl_warmup_images 0, free_bits 0"
            )
        if doubly_reparameterised and k == 1:
            raise ValueError("doubly_reparameterised=true: is for the importance-weighted bound, k of at least 2")
        self.observation = observation(levels=self.levels)
        self.posterior = posterior(latent_dim=latent_dim)
        if doubly_reparameterised and not isinstance(self.posterior, DensityPosterior):
            raise ValueError(
                f"doubly_reparameterised=true: needs a posterior whose density is known at every z, which "
                f"{type(self.posterior).__name__} is not"
            )
        common = {"shape": self.shape, "num_classes": self.label_width}
        self.encoder = encoder(num_params=self.posterior.num_params, **common)
        self.decoder = decoder(num_params=self.observation.num_params, latent_dim=latent_dim, **common)
        self.prior = prior(latent_dim=latent_dim, shape=self.shape, posterior_of=self._posterior_of)
        self.prior.check(self.posterior, self.conditional)
        self.latent_dim, self.beta, self.k, self.kl_warmup_images = latent_dim, beta, k, kl_warmup_images
        self.free_bits, self.doubly_reparameterised = free_bits, doubly_reparameterised
        self.chunk, self.temperature = chunk, temperature

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The parameters of q(z | x, y): ``(B, P)``."""
        return promoted(self.encoder(unit(x, self.levels), self.labels(y)))

    def _posterior_of(self, inputs: Tensor) -> tuple[Posterior, Tensor]:
        """The form of q and its parameters ``(B, P)`` given inputs ``(B, *shape)`` in [0, 1]."""
        return self.posterior, promoted(self.encoder(inputs, None))

    # --- training ----------------------------------------------------------------------------------------------

    @property
    def kl_weight(self) -> float:
        """Present weight of the KL term."""
        warm = min(1.0, self.images_seen / self.kl_warmup_images) if self.kl_warmup_images else 1.0
        return self.beta * warm

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss`` = distortion + weight * rate, with the full ``beta`` and no free bits in evaluation mode; ``distortion`` =
        -E_q log p(x|z) by one draw, ``rate`` = KL(q(z|x) || p(z)), in closed form where there is one, else log q(z|x) -
        log p(z) of the draw; ``elbo`` of both. With k > 1 ``loss`` is the negative of :meth:`bound`, and ``elbo`` the mean
        over its k draws. All in nats, ``(B,)``."""
        params = self.encode(x, y)
        eps = self.noise(len(x), self.k, self.latent_dim).transpose(0, 1)
        if self.k > 1:
            return self._importance_weighted_loss(x, y, params, eps)
        z, log_q = self.posterior(params, eps)
        distortion = -self.log_conditional(x, z[0], y)
        rates = self._rates(params)
        if rates is None:
            rate = self.posterior.rate(params) if isinstance(self.prior, StandardNormal) else None
            rates = (log_q - self.prior(z)).t() if rate is None else rate.unsqueeze(1)
        rate = rates.sum(1)
        weighted = self.beta * rate
        if self.training:
            costly = torch.where(rates.mean(0) >= self.free_bits, rates, self.free_bits) if self.free_bits else rates
            weighted = self.kl_weight * costly.sum(1)
        return {
            "loss": distortion + weighted,
            "elbo": (-distortion - rate).detach(),
            "distortion": distortion.detach(),
            "rate": rate.detach(),
        }

    def _rates(self, params: Tensor) -> Tensor | None:
        """KL(q(z_d | x) || p(z_d)) in nats, ``(B, latent_dim)``; None where it has no closed form."""
        return self.posterior.rates(params) if isinstance(self.prior, StandardNormal) else None

    def _importance_weighted_loss(self, x: Tensor, y: Tensor | None, params: Tensor, eps: Tensor) -> dict[str, Tensor]:
        z, log_q = self.posterior(params, eps)
        if not (self.doubly_reparameterised and z.requires_grad):
            weights = self._log_weights(x, y, z, log_q)
            return {"loss": log(self.k) - weights.logsumexp(0), "elbo": weights.mean(0).detach()}
        # q's own parameters get no gradient but through z, and that has the squares of the normalised weights
        weights = self._log_weights(x, y, z, self.posterior.log_prob(params.detach(), z))
        shares = weights.detach().softmax(0)
        z.register_hook(lambda gradient: gradient * shares.unsqueeze(-1).to(gradient.dtype))
        surrogate = (shares * weights).sum(0)
        value = weights.detach().logsumexp(0) - log(self.k)
        return {"loss": -(value + surrogate - surrogate.detach()), "elbo": weights.mean(0).detach()}

    def _log_weights(self, x: Tensor, y: Tensor | None, z: Tensor, log_q: Tensor) -> Tensor:
        """log p(x | z) + log p(z) - log q(z | x) in nats: z ``(k, B, latent_dim)``, log_q ``(k, B)`` -> ``(k, B)``."""
        return self.log_conditional(x, z.flatten(0, 1), y).view(len(z), -1) + self.prior(z) - log_q

    # --- likelihood --------------------------------------------------------------------------------------------

    def bound(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """Importance-weighted bound log (1/k) sum_i p(x, z_i) / q(z_i | x), z_i ~ q (Burda et al. 2016, equation 8).

        Args:
            x: ``(B, *shape)`` in the data space.
            y: labels ``(B,)``, or None.
            k: number of draws of z for each x, at least 1; 1 is the ELBO.

        Returns:
            ``(B,)`` in nats. The memory does not depend on k.
        """
        params = self.encode(x, y)

        def log_weights(n: int) -> Tensor:
            eps = torch.randn(n, len(x), self.latent_dim, dtype=params.dtype, device=params.device)
            return self._log_weights(x, y, *self.posterior(params, eps))

        return importance_bound(log_weights, k, max(1, self.chunk // len(x)))

    # --- latent variables --------------------------------------------------------------------------------------

    def sample_prior(self, n: int) -> Tensor:
        return self.prior.sample(n, like=next(self.decoder.parameters()))

    def log_prior(self, z: Tensor) -> Tensor:
        return self.prior(z)

    def log_conditional(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        k = len(z) // len(x)
        params = self.decoder(z, repeated(self.labels(y), k))
        return self.observation.log_prob(params, repeated(x, k)).flatten(1).sum(1)

    def infer(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> tuple[Tensor, Tensor]:
        params = self.encode(x, y)
        return self.posterior(params, torch.randn(k, len(x), self.latent_dim, dtype=params.dtype, device=params.device))

    def latent_mean(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.posterior.mean(self.encode(x, y))

    def latent_rates(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        return self._rates(self.encode(x, y))

    def log_posterior(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        if not isinstance(self.posterior, DensityPosterior):
            return None
        return self.posterior.pairwise_log_prob(self.encode(x, y), z)

    # --- sampling ----------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, y: Tensor | None, temperature: float) -> Tensor:
        params = self.decoder(z, self.labels(y))
        return self.observation.sample(params, temperature) if temperature else self.observation.mean(params)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.observation.expectation(self.decoder(z, self.labels(y)))

    def draw(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> Tensor:
        """z ~ p(z), then :meth:`decode`; ``temperature`` in [0, inf), None for the model's own."""
        temperature = self.temperature if temperature is None else temperature
        if temperature < 0:
            raise ValueError(f"temperature={temperature}: must be at least 0")
        return self.decode(self.sample_prior(n), y, temperature)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """z ~ q(z | x), then :meth:`decode` at the model's temperature: ``(B, *shape)`` in the data space."""
        z, _ = self.infer(x, y)
        return self.decode(z[0], y, self.temperature)


def repeated(x: Tensor | None, k: int) -> Tensor | None:
    """``x`` ``(B, ...)`` k times over, ``(k B, ...)``; None stays None."""
    return None if x is None else x.expand(k, *x.shape).flatten(0, 1)
