"""Approximate density: a latent-variable model trained by a lower bound on log p(x) (Kingma & Welling, ICLR 2014)."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LikelihoodBound, Reconstruction
from genexp.probability.observation import Observation, normal_log_prob, promoted
from genexp.probability.quantize import unit


class VAE(GenerativeModule, LikelihoodBound, Reconstruction):
    """Variational autoencoder: prior N(0, I), diagonal Gaussian posterior q(z | x), observation model p(x | z).

    Args:
        encoder: called with ``shape``, ``latent_dim``, ``num_classes``; makes the network x ``(B, *shape)`` in [0, 1], y ->
            ``(B, 2 latent_dim)``, mean and log standard deviation of q(z | x).
        decoder: called with ``shape``, ``latent_dim``, ``num_params``, ``num_classes``; makes the network
            z ``(B, latent_dim)``, y -> parameters ``(B, P, *shape)`` of p(x | z).
        observation: called with ``levels``; makes the form of p(x | z).
        latent_dim: dimensions of z.
        beta: weight of the KL term in the objective (Higgins et al. 2017); at least 0, 1 for the ELBO. The bound that
            is reported does not depend on it.
        k: draws of z for each example of a training batch; above 1 the importance-weighted bound is trained (Burda et al.
            2016), with ``beta`` 1 and no warm-up.
        kl_warmup_images: the weight grows linearly from 0 to ``beta`` over this many training images; 0 for none.
        chunk: at most this many z (but one for each example) are decoded at once by :meth:`bound`, which limits its
            memory.
        temperature: of p(x | z) in samples and reconstructions, at least 0; 1 samples the model whose likelihood is
            bounded, 0 shows the means of p(x | z), as is common.
        base: see :class:`GenerativeModule`.
    """

    def __init__(
        self,
        *,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        observation: Callable[..., Observation],
        latent_dim: int,
        beta: float,
        k: int,
        kl_warmup_images: int,
        chunk: int,
        temperature: float,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        arguments = {
            "beta": beta,
            "k": k,
            "kl_warmup_images": kl_warmup_images,
            "temperature": temperature,
            "chunk": chunk,
        }
        for name, value in arguments.items():
            least = 1 if name in ("k", "chunk") else 0
            if value < least:
                raise ValueError(f"{name}={value}: must be at least {least}")
        if k > 1 and (beta != 1 or kl_warmup_images):
            raise ValueError(
                f"k={k}: the importance-weighted bound has no weight of a KL term; set beta 1, kl_warmup_images 0"
            )
        common = {"shape": self.shape, "latent_dim": latent_dim, "num_classes": self.label_width}
        self.observation = observation(levels=self.levels)
        self.encoder = encoder(**common)
        self.decoder = decoder(num_params=self.observation.num_params, **common)
        self.latent_dim, self.beta, self.k, self.kl_warmup_images = latent_dim, beta, k, kl_warmup_images
        self.chunk, self.temperature = chunk, temperature

    def posterior(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(z | x, y): ``(B, latent_dim)`` each. ``y`` as the networks take it."""
        return promoted(self.encoder(unit(x, self.levels), y)).chunk(2, dim=1)

    def reconstruction_log_prob(self, x: Tensor, z: Tensor, y: Tensor | None) -> Tensor:
        """log p(x | z, y) in nats: ``(B,)``."""
        return self.observation.log_prob(self.decoder(z, y), x).flatten(1).sum(1)

    @property
    def kl_weight(self) -> float:
        """Present weight of the KL term."""
        warm = min(1.0, self.images_seen / self.kl_warmup_images) if self.kl_warmup_images else 1.0
        return self.beta * warm

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss`` = distortion + weight * rate, with the full ``beta`` in evaluation mode; ``distortion`` = -E_q log p(x|z)
        by one draw, ``rate`` = KL(q(z|x) || p(z)) in closed form (Kingma & Welling, appendix B), ``elbo`` of both. With
        k > 1 ``loss`` is the negative of :meth:`bound`, and ``elbo`` the mean over its k draws. All in nats, ``(B,)``."""
        y = self.labels(y)
        mean, log_std = self.posterior(x, y)
        if self.k > 1:
            eps = self.noise(len(x), self.k, self.latent_dim).transpose(0, 1)
            weights = self._log_weights(x, y, mean, log_std, eps)
            return {"loss": log(self.k) - weights.logsumexp(0), "elbo": weights.mean(0).detach()}
        z = mean + log_std.exp() * self.noise(len(x), self.latent_dim)
        distortion = -self.reconstruction_log_prob(x, z, y)
        rate = 0.5 * (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std).sum(1)
        weight = self.kl_weight if self.training else self.beta
        return {
            "loss": distortion + weight * rate,
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
            ``(B,)`` in nats. A running log-sum-exp keeps the memory independent of k.
        """
        if k < 1:
            raise ValueError(f"k={k}: must be at least 1")
        y = self.labels(y)
        mean, log_std = self.posterior(x, y)
        total = torch.full((len(x),), -torch.inf, dtype=mean.dtype, device=mean.device)
        at_once = max(1, self.chunk // len(x))
        for start in range(0, k, at_once):
            eps = torch.randn(min(at_once, k - start), *mean.shape, dtype=mean.dtype, device=mean.device)
            weights = self._log_weights(x, y, mean, log_std, eps)
            total = torch.logaddexp(total, weights.logsumexp(0))
        return total - log(k)

    def _log_weights(self, x: Tensor, y: Tensor | None, mean: Tensor, log_std: Tensor, eps: Tensor) -> Tensor:
        """log p(x | z) + log p(z) - log q(z | x) for z = mean + std * eps, eps ``(k, B, latent_dim)``: ``(k, B)``."""
        k = len(eps)
        z = mean + log_std.exp() * eps
        prior = normal_log_prob(z, 0.0, torch.zeros_like(z)).sum(-1)
        posterior = (normal_log_prob(eps, 0.0, torch.zeros_like(eps)) - log_std).sum(-1)
        repeated = x.expand(k, *x.shape).flatten(0, 1)
        labels = None if y is None else y.expand(k, *y.shape).flatten()
        likelihood = self.reconstruction_log_prob(repeated, z.flatten(0, 1), labels).view(k, -1)
        return likelihood + prior - posterior

    def decode(self, z: Tensor, y: Tensor | None, temperature: float) -> Tensor:
        """x ~ p(x | z, y) at a temperature; its mean, rounded to the nearest level, at temperature 0."""
        params = self.decoder(z, y)
        return self.observation.sample(params, temperature) if temperature else self.observation.mean(params)

    def draw(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> Tensor:
        """z ~ N(0, I), then :meth:`decode`; ``temperature`` in [0, inf), None for the model's own."""
        temperature = self.temperature if temperature is None else temperature
        if temperature < 0:
            raise ValueError(f"temperature={temperature}: must be at least 0")
        z = torch.randn(n, self.latent_dim, device=self.device, dtype=next(self.decoder.parameters()).dtype)
        return self.decode(z, y, temperature)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """z ~ q(z | x), then :meth:`decode` at the model's temperature: ``(B, *shape)`` in the data space."""
        y = self.labels(y)
        mean, log_std = self.posterior(x, y)
        z = mean + log_std.exp() * torch.randn_like(mean)
        return self.decode(z, y, self.temperature)
