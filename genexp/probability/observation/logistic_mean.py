"""The mean of a discretised logistic, without a sum over its levels."""

import torch
from torch import Tensor

SMOOTH = 1.0
"""Levels of distance over the scale, up to which the sum over levels is an integral with corrections at its ends."""
WIDE = 1.0
"""All levels together over the scale, below which both ends of the integral are nearly the same."""
REACH = 17
"""Levels on each side of a narrow logistic beyond which its mass is below exp(-17)."""


def logistic_level_mean(means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """E[x] of a logistic on [-1, 1], integrated over the bins of the levels as by
    :func:`genexp.probability.observation.base.logistic_log_mass`.

    With N = levels - 1, m the mean in levels and d the width of a bin in scales, the sum of the upper tails is

        E[x] = sum_{k=1..N} P(x >= k) = sum_{k=1..N} sigmoid(d (m + 1/2 - k)).

    Up to d = 1 that is the integral over k from 1/2 to N + 1/2, which is (softplus(d m) - softplus(d (m - N))) / d, and the
    corrections of Euler and Maclaurin at its ends up to the seventh derivative: less than 1e-6 off. Above, all but the 2 * 17
    terms around m are 0 or 1.

    Args:
        means: of the logistics.
        log_scales: of the logistics, clamped to [-7, 50]; the same shape.
        levels: number of levels, at least 2.

    Returns:
        Reals in [0, levels - 1], not rounded, of the same shape.
    """
    top = levels - 1
    width = torch.exp(-log_scales.clamp(-7, 50)) * (2 / top)
    centre = (means + 1) * (top / 2)
    mean = _smooth(centre, width, top)
    for which, formula in ((width > SMOOTH, _narrow), (width * top < WIDE, _wide)):
        if which.any():
            mean[which] = formula(centre[which], width[which], top)
    return mean.clamp(0, top)


def _smooth(centre: Tensor, width: Tensor, top: int) -> Tensor:
    mean, square = centre.clamp(0, top), width**2
    for end, sign in ((centre, 1), (centre - top, -1)):
        tail = torch.exp(-(width * end).abs())
        mean += sign * torch.log1p(tail) / width  # what softplus has beyond the positive part of its argument
        mean -= sign * width * _end(tail / (1 + tail) ** 2, square)
    return mean


def _end(v: Tensor, square: Tensor) -> Tensor:
    """The corrections of the midpoint rule at an end, over d: sum_n c_n d^(2n) sigmoid^(2n+1), where the derivatives of the
    sigmoid are polynomials in its first, v, and c = 1/24, -7/5760, 31/967680, -127/154828800."""
    third = 1 - 6 * v
    fifth = 1 - v * (30 - 120 * v)
    seventh = 1 - v * (126 - v * (1680 - 5040 * v))
    return v * (
        1 / 24 - square * (7 / 5760 * third - square * (31 / 967680 * fifth - square * (127 / 154828800 * seventh)))
    )


def _wide(centre: Tensor, width: Tensor, top: int) -> Tensor:
    """As :func:`_smooth`, without a difference that would lose all digits."""
    low, high = torch.sigmoid(width * (centre - top)), torch.sigmoid(width * centre)
    mean = torch.log1p(low * torch.expm1(width * top)) / width
    return mean + width * (_end(low * (1 - low), width**2) - _end(high * (1 - high), width**2))


def _narrow(centre: Tensor, width: Tensor, top: int) -> Tensor:
    middle = centre.floor()
    mean = (middle - REACH - 1).clamp(0, top)
    for offset in range(-REACH, REACH + 1):
        level = middle + offset
        mean += torch.sigmoid(width * (centre + 0.5 - level)) * ((level >= 1) & (level <= top))
    return mean
