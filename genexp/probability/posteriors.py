"""Approximate posteriors q(z | x): how the outputs of an encoder become a distribution over the latent space."""

from abc import ABC, abstractmethod
from math import log, pi

import torch
from torch import Tensor, nn

from genexp.probability.observation import normal_log_prob


class Posterior(nn.Module, ABC):
    """A family of distributions over z ``(latent_dim,)``, one for each vector of ``num_params`` parameters.

    Args:
        latent_dim: dimensions of z, at least 1.
    """

    num_params: int
    """Parameters P that the encoder gives for each example."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim={latent_dim}: must be at least 1")
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, params: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Reparameterised draws.

        Args:
            params: ``(B, P)``.
            eps: standard-normal noise ``(k, B, latent_dim)``.

        Returns:
            z ``(k, B, latent_dim)``, and log q(z | x) in nats ``(k, B)``.
        """

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """E_q[z]: ``(B, P)`` -> ``(B, latent_dim)``; where it has no closed form, z for the noise 0."""

    def rates(self, params: Tensor) -> Tensor | None:
        """KL(q(z_d | x) || N(0, 1)) of every dimension, whose sum is KL(q(z | x) || N(0, I)), in nats: ``(B, P)`` ->
        ``(B, latent_dim)``; None where it has no closed form."""
        return None


class DensityPosterior(Posterior):
    """A posterior whose density is known at every z, not only at its own draws."""

    @abstractmethod
    def log_prob(self, params: Tensor, z: Tensor) -> Tensor:
        """log q(z | x) in nats: ``(B, P)``, z ``(k, B, latent_dim)`` -> ``(k, B)``."""

    def pairwise_log_prob(self, params: Tensor, z: Tensor) -> Tensor:
        """log q(z_i | x_j) of every pair, in nats: ``(M, P)``, z ``(N, latent_dim)`` -> ``(N, M)``."""
        return torch.stack([self.log_prob(params, one.expand(1, len(params), -1))[0] for one in z])


class DiagonalGaussian(DensityPosterior):
    """N(mean, diag(std^2)); the parameters are means and log standard deviations (Kingma & Welling 2014, appendix C.2).

    Args:
        latent_dim: dimensions of z.
        log_std_range: lowest and highest log standard deviation, beyond which it is cut off; None for any.
    """

    def __init__(self, latent_dim: int, log_std_range: tuple[float, float] | None) -> None:
        super().__init__(latent_dim)
        if log_std_range is not None and not log_std_range[0] < log_std_range[1]:
            raise ValueError(f"log_std_range={list(log_std_range)}: must rise")
        self.num_params = 2 * latent_dim
        self.log_std_range = log_std_range

    def split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation: ``(B, latent_dim)`` each."""
        mean, log_std = params.chunk(2, dim=1)
        return mean, log_std if self.log_std_range is None else log_std.clamp(*self.log_std_range)

    def forward(self, params: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.split(params)
        log_q = (normal_log_prob(eps, 0.0, torch.zeros_like(eps)) - log_std).sum(-1)
        return mean + log_std.exp() * eps, log_q

    def mean(self, params: Tensor) -> Tensor:
        return self.split(params)[0]

    def log_prob(self, params: Tensor, z: Tensor) -> Tensor:
        return normal_log_prob(z, *self.split(params)).sum(-1)

    def pairwise_log_prob(self, params: Tensor, z: Tensor) -> Tensor:
        """By three matrix products of the expanded square, without an array ``(N, M, latent_dim)``."""
        mean, log_std = self.split(params)
        precision = torch.exp(-2 * log_std)
        square = z**2 @ precision.t() - 2 * z @ (mean * precision).t() + (mean**2 * precision).sum(1)
        return -0.5 * square - log_std.sum(1) - 0.5 * self.latent_dim * log(2 * pi)

    def rates(self, params: Tensor) -> Tensor:
        """See :meth:`Posterior.rates` (Kingma & Welling 2014, appendix B)."""
        mean, log_std = self.split(params)
        return 0.5 * (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std)
