"""Approximate posteriors q(z | x): how the outputs of an encoder become a distribution over the latent space."""

from abc import ABC, abstractmethod
from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.probability.latent.divergence import standard_normal_kl
from genexp.probability.observation.base import normal_log_prob
from genexp.ranges import at_least


class Posterior(nn.Module, ABC):
    """A family of distributions over z ``(latent_dim,)``, one for each vector of ``num_params`` parameters.

    Args:
        latent_dim: dimensions of z, at least 1.
    """

    num_params: int
    """Parameters P that the encoder gives for each example."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        at_least(1, latent_dim=latent_dim)
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
        ``(B, latent_dim)``; None where it has no closed form, or is no such sum."""
        return None

    def rate(self, params: Tensor) -> Tensor | None:
        """KL(q(z | x) || N(0, I)) in nats: ``(B, P)`` -> ``(B,)``; None where it has no closed form."""
        rates = self.rates(params)
        return None if rates is None else rates.sum(1)


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
        return pairwise_normal_log_prob(z, *self.split(params))

    def rates(self, params: Tensor) -> Tensor:
        """See :meth:`Posterior.rates` (Kingma & Welling 2014, appendix B)."""
        return standard_normal_kl(*self.split(params))


class SoftplusGaussian(DiagonalGaussian):
    """N(mean, diag(std^2)) with std = softplus(s); the parameters are means and s, and ``log_std_range`` is that of log std."""

    def split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        mean, s = params.chunk(2, dim=1)
        # log softplus(s) is s - exp(s) / 2 + ... far below 0, where softplus underflows
        log_std = torch.where(s < -20, s, F.softplus(s.clamp(min=-20)).log())
        return mean, log_std if self.log_std_range is None else log_std.clamp(*self.log_std_range)


class FullCovariance(DensityPosterior):
    """N(mean, L L^T): the parameters are the means, the logarithms of the diagonal of the Cholesky factor L, and the rows of L
    below it.

    Args:
        latent_dim: dimensions of z.
        log_diagonal_range: lowest and highest logarithm of an element of the diagonal, beyond which it is cut off; None for any.
    """

    block = 2**22
    """Numbers in the largest array of :meth:`pairwise_log_prob`."""

    def __init__(self, latent_dim: int, log_diagonal_range: tuple[float, float] | None) -> None:
        super().__init__(latent_dim)
        if log_diagonal_range is not None and not log_diagonal_range[0] < log_diagonal_range[1]:
            raise ValueError(f"log_diagonal_range={list(log_diagonal_range)}: must rise")
        self.num_params = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2
        self.log_diagonal_range = log_diagonal_range

    def split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean ``(B, latent_dim)``, Cholesky factor ``(B, latent_dim, latent_dim)``, and the logarithm of its diagonal."""
        d = self.latent_dim
        mean, log_diagonal, below = params.split([d, d, self.num_params - 2 * d], dim=1)
        if self.log_diagonal_range is not None:
            log_diagonal = log_diagonal.clamp(*self.log_diagonal_range)
        rows, columns = torch.tril_indices(d, d, -1, device=params.device)
        factor = torch.diag_embed(log_diagonal.exp()).index_put(
            (torch.arange(len(params))[:, None], rows, columns), below
        )
        return mean, factor, log_diagonal

    def forward(self, params: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        mean, factor, log_diagonal = self.split(params)
        z = mean + torch.einsum("bde,kbe->kbd", factor, eps)
        return z, self._log_density(eps) - log_diagonal.sum(-1)

    def _log_density(self, eps: Tensor) -> Tensor:
        return -0.5 * (eps**2).sum(-1) - 0.5 * self.latent_dim * log(2 * pi)

    def mean(self, params: Tensor) -> Tensor:
        return params[:, : self.latent_dim]

    def log_prob(self, params: Tensor, z: Tensor) -> Tensor:
        mean, factor, log_diagonal = self.split(params)
        columns = (z - mean).permute(1, 2, 0)
        eps = torch.linalg.solve_triangular(factor, columns, upper=False)
        return self._log_density(eps.permute(2, 0, 1)) - log_diagonal.sum(-1)

    def pairwise_log_prob(self, params: Tensor, z: Tensor) -> Tensor:
        """A few x at a time, so that no array has more than ``block`` numbers, if one x has no more."""
        at_once = max(1, self.block // z.numel())
        repeated = z.unsqueeze(1)
        parts = [self.log_prob(some, repeated.expand(-1, len(some), -1)) for some in params.split(at_once)]
        return torch.cat(parts, dim=1)

    def rate(self, params: Tensor) -> Tensor:
        mean, factor, log_diagonal = self.split(params)
        return 0.5 * ((mean**2).sum(1) + (factor**2).sum((1, 2)) - self.latent_dim) - log_diagonal.sum(1)


def pairwise_normal_log_prob(z: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log N(z_i; mean_j, diag(exp(log_std_j)^2)) of every pair, in nats: z ``(N, D)``, ``(M, D)`` twice -> ``(N, M)``.

    By matrix products of the expanded square, without an array ``(N, M, D)``."""
    precision = torch.exp(-2 * log_std)
    square = z**2 @ precision.t() - 2 * z @ (mean * precision).t() + (mean**2 * precision).sum(1)
    return -0.5 * square - log_std.sum(1) - 0.5 * z.shape[1] * log(2 * pi)
