"""Increasing functions of one real number with parameters that a network gives: what a flow does to a dimension, given others.

Each is made for a layer and then called with the parameters, ``(..., *shape)`` for every shape in ``shapes``; it returns one of
zuko's transforms, element by element.
"""

from abc import ABC, abstractmethod
from math import log, pi

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from torch.nn import functional as F
from zuko.nn import MonotonicMLP
from zuko.transforms import AdditiveTransform, MonotonicAffineTransform, MonotonicRQSTransform, MonotonicTransform

from genexp.ranges import at_least, inside, positive


class Univariate(nn.Module, ABC):
    """A family of increasing bijections of the reals."""

    shapes: list[tuple[int, ...]]
    """Of the parameters."""

    @abstractmethod
    def forward(self, *parameters: Tensor) -> Transform:
        """The functions with these parameters."""


class Additive(Univariate):
    """x + b (Dinh et al., "NICE", 2014)."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes = [()]

    def forward(self, *parameters: Tensor) -> Transform:
        return AdditiveTransform(*parameters)


class Affine(Univariate):
    """exp(a) x + b, where a = s / (1 + |s / log slope|) lies between log slope and -log slope, so that nothing explodes.

    Args:
        slope: the smallest slope, whose inverse is the largest; in (0, 1).
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        inside(0, 1, slope=slope)
        self.shapes, self.slope = [(), ()], slope

    def forward(self, *parameters: Tensor) -> Transform:
        return MonotonicAffineTransform(*parameters, slope=self.slope)


class Spline(Univariate):
    """A rational-quadratic spline on [-bound, bound], and the identity outside, where data should be rare: they are standardised
    before (Durkan et al., "Neural spline flows", 2019, section 3.1).

    Args:
        bins: of the spline, at least 1.
        bound: positive.
        slope: the smallest slope at a knot, whose inverse is the largest; in (0, 1).
    """

    def __init__(self, bins: int, bound: float, slope: float) -> None:
        super().__init__()
        at_least(1, bins=bins)
        positive(bound=bound)
        inside(0, 1, slope=slope)
        self.shapes, self.bound, self.slope = [(bins,), (bins,), (bins - 1,)], bound, slope

    def forward(self, *parameters: Tensor) -> Transform:
        return MonotonicRQSTransform(*parameters, bound=self.bound, slope=self.slope)


class MonotonicNetwork(Univariate):
    """A network with positive weights, whose bias is moved by a signal (Huang et al., "Neural autoregressive flows", 2018). It is
    increasing from -inf to inf. Its inverse is found by bisection: between -``reach`` and ``reach``, up to 1e-6.

    One network serves all dimensions of a layer, which differ by their signals; in the paper each has weights of its own.

    Args:
        signal: dimensions of the signal, at least 1.
        hidden: widths of the hidden layers, even numbers.
        reach: positive.
    """

    def __init__(self, signal: int, hidden: list[int], reach: float) -> None:
        super().__init__()
        at_least(1, signal=signal, hidden=hidden)
        positive(reach=reach)
        if any(width % 2 for width in hidden):
            raise ValueError(
                f"hidden={list(hidden)}: must be even numbers, half of the units are bounded from each side"
            )
        self.shapes, self.reach = [(signal,)], reach
        self.network = MonotonicMLP(1 + signal, 1, hidden_features=tuple(hidden))

    def forward(self, *parameters: Tensor) -> Transform:
        (signal,) = parameters
        return MonotonicTransform(lambda x: self._value(signal, x), (signal, *self.parameters()), bound=self.reach)

    def _value(self, signal: Tensor, x: Tensor) -> Tensor:
        inputs = torch.cat([x.unsqueeze(-1), signal.expand(*x.shape, -1)], dim=-1)
        return self.network(inputs).squeeze(-1)


class GaussianMixture1d(Univariate):
    """z = logit F(x) with the distribution function F of a mixture of Gaussians, so that before a logistic source the density of x
    is the mixture's: conditionals of MADE MoG and MAF MoG (Papamakarios et al. 2017).

    Args:
        components: of a mixture, at least 1.
    """

    def __init__(self, components: int) -> None:
        super().__init__()
        at_least(1, components=components)
        self.shapes = [(components,)] * 3
        self.register_buffer("quantiles", torch.special.ndtri((torch.arange(components) + 0.5) / components))
        """Where the means begin, apart from each other."""

    def forward(self, *parameters: Tensor) -> Transform:
        logits, means, log_sds = parameters
        return GaussianMixtureTransform(logits, means + self.quantiles, log_sds)


class GaussianMixtureTransform(Transform):
    """See :class:`GaussianMixture1d`; the inverse is found by bisection.

    Args:
        logits, means, log_sds: ``(..., K)``.
    """

    domain = codomain = constraints.real
    bijective, sign = True, +1

    def __init__(self, logits: Tensor, means: Tensor, log_sds: Tensor) -> None:
        super().__init__()
        self.log_weights, self.means, self.log_sds = F.log_softmax(logits, -1), means, log_sds

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scaled = (x.unsqueeze(-1) - self.means) * (-self.log_sds).exp()
        log_density = -0.5 * scaled**2 - self.log_sds - 0.5 * log(2 * pi)
        log_cdf, log_rest, log_p = (
            (self.log_weights + part).logsumexp(-1)
            for part in (torch.special.log_ndtr(scaled), torch.special.log_ndtr(-scaled), log_density)
        )
        return log_cdf - log_rest, log_p - log_cdf - log_rest

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    @torch.no_grad()
    def _inverse(self, y: Tensor) -> Tensor:
        reach = 40 * self.log_sds.exp()
        low, high = (self.means - reach).amin(-1), (self.means + reach).amax(-1)
        for _ in range(60 if y.dtype == torch.float64 else 40):
            middle = (low + high) / 2
            is_below = self._call(middle) < y
            low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
        return (low + high) / 2
