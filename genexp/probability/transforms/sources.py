"""The noise z that a flow carries data to."""

from abc import ABC, abstractmethod
from math import log, pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.ranges import at_least, positive


class Source(nn.Module, ABC):
    """A distribution over z ``(D,)``.

    Args:
        dims: D, at least 1.
    """

    def __init__(self, *, dims: int) -> None:
        super().__init__()
        at_least(1, dims=dims)
        self.dims = dims
        self.register_buffer("place", torch.zeros(()), persistent=False)
        """Knows device and dtype."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: ``(B, D)`` -> ``(B,)``."""

    @abstractmethod
    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """``n`` draws ``(n, D)``. A temperature other than 1 multiplies the standard deviations: draws of another model."""

    @abstractmethod
    def cdf(self, z: Tensor) -> Tensor:
        """P(Z_d <= z_d) of every dimension alone: ``(B, D)`` -> ``(B, D)`` in [0, 1]."""

    def initialise(self, z: Tensor) -> None:
        """Set what depends on the data, whose images z ``(N, D)`` these are. By default there is nothing to set."""
        return

    def forward(self, z: Tensor) -> Tensor:
        """:meth:`log_prob`, for fully sharded training, which gathers the parameters for a call."""
        return self.log_prob(z)


class NormalSource(Source):
    """N(0, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z**2).sum(1) - 0.5 * self.dims * log(2 * pi)

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        return temperature * torch.randn(n, self.dims, dtype=self.place.dtype, device=self.place.device)

    def cdf(self, z: Tensor) -> Tensor:
        return torch.special.ndtr(z)


class LogisticSource(Source):
    """Independent standard logistic dimensions, p(z) = sigmoid(z) sigmoid(-z), of heavier tails than the normal (Dinh et al.,
    "NICE", 2014, section 3.4)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return (F.logsigmoid(z) + F.logsigmoid(-z)).sum(1)

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        u = torch.rand(n, self.dims, dtype=self.place.dtype, device=self.place.device)
        tiny = torch.finfo(u.dtype).tiny  # rand gives 0, but never 1
        return temperature * (u.clamp(min=tiny).log() - torch.log1p(-u))

    def cdf(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)


class MixtureSource(Source):
    """sum_k w_k N(m_k, diag(s_k^2)) with learnt weights, means and standard deviations.

    Args:
        dims: see :class:`Source`.
        components: number of Gaussians, at least 1.
        initial_spread: standard deviation of the means at the beginning, above 0; those of the components begin at 1, their weights
            equal.
    """

    def __init__(self, *, dims: int, components: int, initial_spread: float) -> None:
        super().__init__(dims=dims)
        at_least(1, components=components)
        positive(hint=", or all components remain the same", initial_spread=initial_spread)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(initial_spread * torch.randn(components, dims))
        self.log_sds = nn.Parameter(torch.zeros(components, dims))

    def log_prob(self, z: Tensor) -> Tensor:
        scaled = (z.unsqueeze(1) - self.means) * (-self.log_sds).exp()
        each = -0.5 * (scaled**2).sum(2) - self.log_sds.sum(1) - 0.5 * self.dims * log(2 * pi)
        return (each + F.log_softmax(self.logits, 0)).logsumexp(1)

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        chosen = torch.multinomial(self.logits.softmax(0), n, replacement=True)
        return self.means[chosen] + temperature * self.log_sds[chosen].exp() * torch.randn_like(self.means[chosen])

    def cdf(self, z: Tensor) -> Tensor:
        each = torch.special.ndtr((z.unsqueeze(1) - self.means) * (-self.log_sds).exp())
        return (each * self.logits.softmax(0)[:, None]).sum(1)
