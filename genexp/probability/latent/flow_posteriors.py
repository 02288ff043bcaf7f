"""Posteriors of which a Gaussian is carried on by invertible steps: log q(z_T) = log q(z_0) - sum_t log |det dz_t / dz_t-1|."""

from abc import abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.probability.latent.posteriors import Posterior
from genexp.probability.observation.base import promoted
from genexp.ranges import at_least


class BaseFactory(Protocol):
    """Makes the form of q(z_0 | x), from which the steps go on."""

    def __call__(self, *, latent_dim: int) -> Posterior:
        """``latent_dim``: dimensions of z, at least 1."""


class StepFactory(Protocol):
    """Makes the network of a step: z ``(k, B, D)``, context ``(B, C)`` -> m and s less its bias, ``(k, B, 2, D)``, of which those
    of d depend on z_<d only."""

    def __call__(self, *, dims: int, num_params: int, context_dim: int) -> nn.Module:
        """``dims`` is D, ``num_params`` 2, ``context_dim`` C, each at least 1."""


class FlowPosterior(Posterior):
    """z_0 ~ ``base``, then ``depth`` steps; the density is known at its own draws only.

    Args:
        latent_dim: dimensions of z.
        base: makes the form of q(z_0 | x), the first parameters that the encoder gives.
        depth: number of steps, at least 1.
        flow_params: how many parameters F the encoder gives to the steps.
    """

    def __init__(self, latent_dim: int, base: BaseFactory, depth: int, flow_params: int) -> None:
        super().__init__(latent_dim)
        at_least(1, depth=depth)
        self.base, self.depth, self.flow_params = base(latent_dim=latent_dim), depth, flow_params
        self.num_params = self.base.num_params + flow_params

    @abstractmethod
    def step(self, t: int, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Step t of 0, ..., ``depth`` - 1.

        Args:
            t: number of the step.
            params: those for the steps, ``(B, F)``.
            z: ``(k, B, latent_dim)``.

        Returns:
            z after the step, and log |det| of its Jacobian, ``(k, B)``.
        """

    def forward(self, params: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        first, rest = params.split([self.base.num_params, self.flow_params], dim=1)
        z, log_q = self.base(first, eps)
        for t in range(self.depth):
            z, log_det = self.step(t, rest, z)
            log_q = log_q - log_det
        return z, log_q

    def mean(self, params: Tensor) -> Tensor:
        return self(params, params.new_zeros(1, len(params), self.latent_dim))[0][0]


class Planar(FlowPosterior):
    """z + u h(w^T z + b), h = tanh (Rezende & Mohamed, ICML 2015, equation 10).

    A step is invertible where w^T u > -1; for this u is replaced by u + (m(w^T u) - w^T u) w / |w|^2, m(a) = softplus(a) - 1
    (their appendix A.1), where softplus is at least 2e-9. The determinant is computed as tanh^2 + softplus(w^T u) (1 - tanh^2),
    whose terms are positive.

    Args:
        latent_dim, base, depth: see :class:`FlowPosterior`.
        amortised: the encoder gives u, w, b of every step for each x, 2 ``latent_dim`` + 1 numbers; False learns them for all x
            together.
    """

    def __init__(self, latent_dim: int, base: BaseFactory, depth: int, amortised: bool) -> None:
        width = 2 * latent_dim + 1
        super().__init__(latent_dim, base, depth, flow_params=depth * width if amortised else 0)
        self.width, self.amortised = width, amortised
        self.shared = None if amortised else nn.Parameter(torch.randn(depth, width) / latent_dim**0.5)

    def step(self, t: int, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        own = params[:, t * self.width : (t + 1) * self.width] if self.amortised else self.shared[t].unsqueeze(0)
        u, w, b = own.split([self.latent_dim, self.latent_dim, 1], dim=1)
        return planar(u, w, b, z)


def planar(u: Tensor, w: Tensor, b: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """See :class:`Planar`: u, w ``(B, D)`` and b ``(B, 1)``, or with 1 for B; z ``(k, B, D)`` -> z and log |det| ``(k, B)``."""
    product = (w * u).sum(1, keepdim=True)
    wanted = F.softplus(product.clamp(min=-20))  # 1 + w^T u after u is replaced
    square = (w**2).sum(1, keepdim=True)
    divisor = square.clamp(min=1e-12)
    u = u + (wanted - 1 - product) * w / divisor
    share = square / divisor  # 1, but for w of nearly 0, with which u cannot change the product
    reached = share * wanted + (1 - share) * (1 + product)
    h = torch.tanh((z * w).sum(-1, keepdim=True) + b)
    det = h**2 + reached * (1 - h) * (1 + h)
    return z + u * h, det.log().squeeze(-1)


class IAF(FlowPosterior):
    """Inverse autoregressive flow: z <- g z + (1 - g) m with a gate g = sigmoid(s), where m_d and s_d depend on z_<d and on a
    context that the encoder gives (Kingma et al., NeurIPS 2016, equations 13 and 14). From one step to the next the order of
    the dimensions is reversed.

    Args:
        latent_dim, base, depth: see :class:`FlowPosterior`.
        context_dim: dimensions of the context, at least 1.
        step: makes the network of a step.
        gate_bias: is added to s: a large one begins with gates near 1, which change nothing.
    """

    def __init__(
        self,
        latent_dim: int,
        base: BaseFactory,
        depth: int,
        context_dim: int,
        step: StepFactory,
        gate_bias: float,
    ) -> None:
        at_least(1, context_dim=context_dim)
        super().__init__(latent_dim, base, depth, flow_params=context_dim)
        self.gate_bias = gate_bias
        self.networks = nn.ModuleList(
            step(dims=latent_dim, num_params=2, context_dim=context_dim) for _ in range(depth)
        )

    def step(self, t: int, params: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        if t > 0:
            z = z.flip(-1)
        shift, s = promoted(self.networks[t](z, params)).unbind(-2)
        s = s + self.gate_bias
        z = torch.sigmoid(s) * z + torch.sigmoid(-s) * shift
        return z, F.logsigmoid(s).sum(-1)
