"""Priors p(z) over a latent space."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.probability.latent.posteriors import DensityPosterior, Posterior, pairwise_normal_log_prob
from genexp.probability.observation.base import normal_log_prob
from genexp.ranges import at_least, positive


class Prior(nn.Module, ABC):
    """A distribution over z ``(latent_dim,)``.

    Args:
        latent_dim: dimensions of z.
        shape: shape of x.
        posterior_of: the model's q(z | x), for priors that are made of it: inputs ``(K, *shape)`` in [0, 1] -> its form, and its
            parameters ``(K, P)``.
    """

    def __init__(
        self, *, latent_dim: int, shape: Sequence[int], posterior_of: Callable[[Tensor], tuple[Posterior, Tensor]]
    ) -> None:
        super().__init__()
        self.latent_dim, self.shape, self.posterior_of = latent_dim, tuple(shape), posterior_of

    def check(self, posterior: Posterior, conditional: bool) -> None:
        """Refuse a model that this prior cannot be part of.

        Args:
            posterior: the form of its q(z | x).
            conditional: whether its networks need labels.

        Raises:
            ValueError: they do not go together.
        """
        return

    def forward(self, z: Tensor) -> Tensor:
        """:meth:`log_prob`, for fully sharded training, which gathers the parameters for a call."""
        return self.log_prob(z)

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: ``(..., latent_dim)`` -> ``(...)``."""

    @abstractmethod
    def sample(self, n: int, like: Tensor) -> Tensor:
        """``n`` draws of the dtype and on the device of ``like``: ``(n, latent_dim)``."""


class StandardNormal(Prior):
    """N(0, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return normal_log_prob(z, 0.0, torch.zeros_like(z)).sum(-1)

    def sample(self, n: int, like: Tensor) -> Tensor:
        return torch.randn(n, self.latent_dim, dtype=like.dtype, device=like.device)


class MixturePrior(Prior):
    """sum_k w_k p_k(z), k = 1, ..., K.

    Args:
        components: number of components K, at least 1.
        common: see :class:`Prior`.
    """

    block = 2**23
    """Numbers in the largest array of :meth:`log_prob` without gradients, if one z needs no more."""

    def __init__(self, *, components: int, **common: Any) -> None:
        super().__init__(**common)
        at_least(1, components=components)
        self.components = components

    @abstractmethod
    def joint_log_prob(self) -> Callable[[Tensor], Tensor]:
        """The function z ``(N, latent_dim)`` -> log w_k p_k(z) in nats ``(N, K)``."""

    def log_prob(self, z: Tensor) -> Tensor:
        joint = self.joint_log_prob()
        parts = z.reshape(-1, self.latent_dim).split(max(1, self.block // self.components))
        return torch.cat([joint(part).logsumexp(1) for part in parts]).view(z.shape[:-1])


class GaussianMixture(MixturePrior):
    """Mixture of Gaussians with independent dimensions, whose weights, means and standard deviations are learnt.

    Args:
        components: number of Gaussians, at least 1.
        initial_spread: standard deviation of the means at the beginning, above 0; they are drawn around 0. The standard
            deviations of the components begin at 1, the weights equal.
        common: see :class:`Prior`.
    """

    def __init__(self, *, components: int, initial_spread: float, **common: Any) -> None:
        super().__init__(components=components, **common)
        positive(hint=", or all components remain the same", initial_spread=initial_spread)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(initial_spread * torch.randn(components, self.latent_dim))
        self.log_stds = nn.Parameter(torch.zeros(components, self.latent_dim))

    def joint_log_prob(self) -> Callable[[Tensor], Tensor]:
        log_weights = F.log_softmax(self.logits, dim=0)
        return lambda z: log_weights + pairwise_normal_log_prob(z, self.means, self.log_stds)

    def sample(self, n: int, like: Tensor) -> Tensor:
        chosen = torch.multinomial(self.logits.softmax(0), n, replacement=True)
        eps = torch.randn(n, self.latent_dim, dtype=like.dtype, device=like.device)
        return self.means[chosen] + self.log_stds[chosen].exp() * eps


class VampPrior(MixturePrior):
    """p(z) = 1/K sum_k q(z | u_k): the model's own posterior at K learnt pseudo-inputs u_k (Tomczak & Welling, AISTATS 2018,
    equation 9).

    The pseudo-inputs are parameters ``(K, *shape)`` clamped to [0, 1], as in the authors' code: one that leaves the interval
    stays where it is.

    Args:
        components: number of pseudo-inputs, at least 1.
        mean, std: of the normal from which the pseudo-inputs are drawn at the beginning; ``std`` above 0.
        common: see :class:`Prior`.
    """

    def __init__(self, *, components: int, mean: float, std: float, **common: Any) -> None:
        super().__init__(components=components, **common)
        positive(hint=", or all pseudo-inputs remain the same", std=std)
        self.pseudo_inputs = nn.Parameter(mean + std * torch.randn(components, *self.shape))

    def check(self, posterior: Posterior, conditional: bool) -> None:
        if conditional:
            raise ValueError("conditional=true: VampPrior has pseudo-inputs without labels; choose another model/prior")
        if not isinstance(posterior, DensityPosterior):
            raise ValueError(
                f"VampPrior needs a posterior whose density is known at every z, which {type(posterior).__name__} is not; "
                "choose model/posterior=diagonal_gaussian or full_covariance, or another model/prior"
            )

    def posteriors(self) -> tuple[DensityPosterior, Tensor]:
        """The form of q, and its parameters ``(K, P)`` at the pseudo-inputs."""
        return self.posterior_of(F.hardtanh(self.pseudo_inputs, 0.0, 1.0))

    def joint_log_prob(self) -> Callable[[Tensor], Tensor]:
        posterior, params = self.posteriors()
        return lambda z: posterior.pairwise_log_prob(params, z) - log(self.components)

    def sample(self, n: int, like: Tensor) -> Tensor:
        posterior, params = self.posteriors()
        chosen = torch.randint(self.components, (n,), device=like.device)
        eps = torch.randn(1, n, self.latent_dim, dtype=like.dtype, device=like.device)
        return posterior(params[chosen], eps)[0][0]
