"""Levels as bins of a normal distribution that is confined to their range."""

import math

import torch
from torch import Tensor

from genexp.probability.observation.base import Observation, needs, promoted

SMOOTH = 2.0
"""Levels over which the density falls by a factor e, from which on the mean needs no sum."""
REACH = (12, 40)
"""Levels below the mean of a narrow normal, and in all, beyond which there is no mass."""


class DiscretizedTruncatedNormal(Observation):
    """A normal, integrated over the bin of each level and divided by its mass on all bins.

    The levels 0, ..., L - 1 sit at -1, ..., 1; all bins are 2 / (L - 1) wide, the outermost too, where
    :class:`genexp.probability.observation.base.DiscretizedLogisticMixture` has them reach to infinity and so heaps what lies
    outside on the ends. Here a mean outside gives a distribution that falls off from the end. Parameters per dimension: mean,
    clamped to [-4, 4], and log standard deviation, clamped to [-7, 3]. Computed in float64 from logarithms of the distribution
    function, so that the far tails keep their mass.

    Args:
        levels: number of levels L, at least 2.

    Raises:
        ValueError: the data have no levels.
    """

    num_params = 2

    def __init__(self, levels: int | None) -> None:
        if levels is None:
            needs(levels, 256, "DiscretizedTruncatedNormal", "normal")
        self.levels = levels
        self.half = 1 / (levels - 1)

    @staticmethod
    def _mean_std(params: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation in float64: ``(B, *shape)`` each."""
        mean, log_std = params.double().unbind(1)
        return mean.clamp(-4, 4), log_std.clamp(-7, 3).exp()

    def _centre(self, x: Tensor) -> Tensor:
        """Middle of the bin of a level, both in float64, so that bins meet exactly."""
        return (2 * x - (self.levels - 1)) / (self.levels - 1)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        mean, std = self._mean_std(params)
        centre = self._centre(x.double())
        bin_ = normal_log_mass((centre - self.half - mean) / std, (centre + self.half - mean) / std)
        return (bin_ - self._log_total(mean, std)).to(promoted(params).dtype)

    def _log_total(self, mean: Tensor, std: Tensor) -> Tensor:
        """Log of the mass on all bins."""
        end = 1 + self.half
        return normal_log_mass((-end - mean) / std, (end - mean) / std)

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        """By bisection: the lowest level whose distribution function reaches a uniform draw. ``temperature`` multiplies the
        standard deviation; near 0 it leaves the level nearest to the mean."""
        mean, std = self._mean_std(params)
        std = (temperature * std).clamp(min=1e-9)
        target = torch.rand_like(mean).clamp(min=1e-300).log() + self._log_total(mean, std)
        start = (-1 - self.half - mean) / std
        low, high = torch.zeros_like(mean), torch.full_like(mean, self.levels - 1)
        for _ in range((self.levels - 1).bit_length()):
            middle = ((low + high) / 2).floor()
            upper = self._centre(middle) + self.half
            reached = normal_log_mass(start, (upper - mean) / std) >= target
            low, high = torch.where(reached, low, torch.minimum(middle + 1, high)), torch.where(reached, middle, high)
        return high.to(torch.uint8)

    def mean(self, params: Tensor) -> Tensor:
        return self.expectation(params).round().to(torch.uint8)

    def expectation(self, params: Tensor) -> Tensor:
        """Where a level is short against the distance over which the density falls, the mean of the truncated normal itself and
        the corrections of Euler and Maclaurin at its ends, up to the seventh derivative, less than 1e-6 off; else the sum over
        the levels that have mass."""
        mean, std = self._mean_std(params)
        top = self.levels - 1
        centre, scale = (mean + 1) * (top / 2), std * (top / 2)
        outside = torch.maximum(-centre, centre - top).clamp(min=0)
        smooth = (scale >= 1.5) & (scale**2 >= SMOOTH * outside)
        value = torch.empty_like(mean)
        value[smooth] = self._smooth(mean[smooth], std[smooth])
        value[~smooth] = self._narrow(mean[~smooth], std[~smooth])
        return value.clamp(0, top).to(promoted(params).dtype)

    def _smooth(self, mean: Tensor, std: Tensor) -> Tensor:
        """Means in levels ``(n,)`` of wide normals."""
        top, log_total = self.levels - 1, self._log_total(mean, std)
        centre, scale = (mean + 1) * (top / 2), std * (top / 2)
        value = centre
        for end, sign in ((-0.5, 1), (top + 0.5, -1)):
            z = (end - centre) / scale
            density = sign * torch.exp(-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - log_total)
            square, rate = z**2, 1 / scale
            hermite = (1, square - 1, square * (square - 6) + 3, square * (square * (square - 15) + 45) - 15)
            value = value + density * scale
            for i, coefficient in enumerate((1 / 12, -1 / 720, 1 / 30240, -1 / 1209600)):
                value = value + coefficient * density * rate ** (2 * i + 1) * hermite[i]
        return value

    def _narrow(self, mean: Tensor, std: Tensor) -> Tensor:
        """Means in levels ``(n,)`` of narrow normals, or of tails: the sum over the levels that have mass."""
        top, log_total = self.levels - 1, self._log_total(mean, std)
        first = ((mean + 1) * (top / 2) - REACH[0]).floor().clamp(0, max(top - REACH[1], 0))
        value = torch.zeros_like(mean)
        for offset in range(min(REACH[1], top) + 1):
            centre = self._centre(first + offset)
            bin_ = normal_log_mass((centre - self.half - mean) / std, (centre + self.half - mean) / std)
            value += (first + offset) * torch.exp(bin_ - log_total)
        return value


def normal_log_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """log(Phi(upper) - Phi(lower)) of a standard normal, in nats, shapes broadcast; ``lower`` < ``upper``.

    An interval whose middle is positive is reflected: in the left tail the logarithms of Phi are accurate."""
    lower, upper = torch.broadcast_tensors(lower, upper)
    right = lower + upper > 0
    lower, upper = torch.where(right, -upper, lower), torch.where(right, -lower, upper)
    log_upper = torch.special.log_ndtr(upper)
    return log_upper + torch.log(-torch.expm1(torch.special.log_ndtr(lower) - log_upper))
