"""Levels as counts: the beta-binomial distribution."""

import torch
from torch import Tensor
from torch.distributions import Gamma

from genexp.probability.observation.base import Observation, needs, promoted


class BetaBinomial(Observation):
    """x ~ Binomial(L - 1, p) with p ~ Beta(alpha, beta), p integrated out: with n = L - 1,

        log p(x) = log (n choose x) + log B(x + alpha, n - x + beta) - log B(alpha, beta).

    It is unimodal, flat (alpha = beta = 1) or heaped at the ends (both below 1), and never narrower than the binomial of its
    mean. Parameters per dimension: log alpha and log beta, clamped to [-7, 10]. The gamma functions are computed in float64,
    since the differences of their logarithms would lose what float32 keeps.

    Args:
        levels: number of levels L, at least 2.

    Raises:
        ValueError: the data have no levels.
    """

    num_params = 2

    def __init__(self, levels: int | None) -> None:
        if levels is None:
            needs(levels, 256, "BetaBinomial", "normal")
        self.trials = levels - 1

    @staticmethod
    def _alpha_beta(params: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and beta in float64: ``(B, *shape)`` each."""
        return params.double().clamp(-7, 10).exp().unbind(1)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        a, b = self._alpha_beta(params)
        n = torch.tensor(self.trials, dtype=torch.float64, device=params.device)
        x = x.double()
        ways = torch.lgamma(n + 1) - torch.lgamma(x + 1) - torch.lgamma(n - x + 1)
        return (ways + _log_beta(x + a, n - x + b) - _log_beta(a, b)).to(promoted(params).dtype)

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        """``temperature`` multiplies the distance of a draw from the mean, which is then rounded to a level: near 0 it
        leaves the mean."""
        a, b = self._alpha_beta(params)
        p = torch.sigmoid(_log_gamma_draw(a) - _log_gamma_draw(b))
        x = torch.binomial(torch.full_like(p, self.trials), p)
        mean = self.trials * a / (a + b)
        return (mean + temperature * (x - mean)).round().clamp(0, self.trials).to(torch.uint8)

    def mean(self, params: Tensor) -> Tensor:
        return self.expectation(params).round().to(torch.uint8)

    def expectation(self, params: Tensor) -> Tensor:
        a, b = self._alpha_beta(params)
        return (self.trials * a / (a + b)).to(promoted(params).dtype)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    """Log of the beta function."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def _log_gamma_draw(a: Tensor) -> Tensor:
    """Log of a draw from Gamma(a, 1), for small a too, whose draws are too small for a float: a draw of Gamma(a + 1, 1) times
    u^(1 / a), u uniform (Marsaglia & Tsang 2000, section 6)."""
    uniform = torch.rand_like(a).clamp(min=torch.finfo(a.dtype).tiny)
    return Gamma(a + 1, torch.ones_like(a)).sample().log() + uniform.log() / a
