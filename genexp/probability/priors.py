"""Priors p(z) over a latent space."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genexp.probability.observation import normal_log_prob
from genexp.probability.posteriors import Posterior


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
