"""Between the data space and the reals, and between nats and bits/dim: the one place for both.

The data space holds integers in ``[0, levels)``. Networks want reals; ``unit`` and ``symmetric`` map the levels
linearly onto [0, 1] and [-1, 1], end points included, and ``from_symmetric`` maps back to the nearest level. Sound has
``mu_law_codes`` and ``mu_law_waveform`` instead, whose levels are denser near 0.
"""

import math

import torch
from torch import Tensor


def unit(x: Tensor, levels: int | None) -> Tensor:
    """Map levels linearly onto [0, 1].

    Args:
        x: integers in ``[0, levels)``, any shape; or reals when ``levels`` is None, returned as they are.
        levels: number of levels, at least 2; None for continuous data.

    Returns:
        Float tensor of the same shape, ``x / (levels - 1)``.
    """
    if levels is None:
        return x
    return x.to(torch.get_default_dtype()) / (levels - 1)


def symmetric(x: Tensor, levels: int | None) -> Tensor:
    """Map levels linearly onto [-1, 1]: ``2 x / (levels - 1) - 1``; continuous data pass unchanged."""
    if levels is None:
        return x
    return unit(x, levels) * 2 - 1


def from_symmetric(v: Tensor, levels: int | None) -> Tensor:
    """Nearest level of reals in [-1, 1] (values outside are clamped): the inverse of :func:`symmetric`.

    Returns:
        uint8 tensor of the same shape; the input itself when ``levels`` is None.
    """
    return v if levels is None else symmetric_to_levels(v, levels).round().to(torch.uint8)


def symmetric_to_levels(v: Tensor, levels: int | None) -> Tensor:
    """Reals in [-1, 1] (values outside are clamped) onto [0, levels - 1], not rounded; continuous data pass unchanged."""
    return v if levels is None else (v.clamp(-1, 1) + 1) / 2 * (levels - 1)


def mu_law_codes(waveform: Tensor, levels: int) -> Tensor:
    """Mu-law codes of a waveform (ITU-T G.711; van den Oord et al. 2016, "WaveNet", section 2.2).

    The nearest of ``levels`` equidistant values to ``sign(v) ln(1 + mu |v|) / ln(1 + mu)``, mu = levels - 1. Silence, v = 0,
    lies in the middle: for an even number of levels on the border of two codes, and gets the even one of them (128 of 256).
    G.711 itself approximates the curve for mu = 255 by straight pieces.

    Args:
        waveform: reals in [-1, 1], any shape; values outside are clamped.
        levels: number of codes, 2 to 256.

    Returns:
        uint8 tensor of the same shape, in ``[0, levels)``.
    """
    mu = levels - 1
    waveform = waveform.clamp(-1, 1)
    return from_symmetric(waveform.sign() * torch.log1p(mu * waveform.abs()) / math.log1p(mu), levels)


def mu_law_waveform(codes: Tensor, levels: int) -> Tensor:
    """The waveform of mu-law codes: ``sign(c) ((1 + mu)^|c| - 1) / mu`` with c = 2 code / mu - 1, the inverse of
    :func:`mu_law_codes` on the codes.

    Args:
        codes: integers in ``[0, levels)``, any shape.
        levels: number of codes, 2 to 256.

    Returns:
        Float tensor of the same shape in [-1, 1], end points included; mu-law has no code of exactly 0 if ``levels`` is even.
    """
    mu = levels - 1
    compressed = symmetric(codes, levels)
    return compressed.sign() * torch.expm1(compressed.abs() * math.log1p(mu)) / mu


def bits_per_dim(nats: float | Tensor, dims: int) -> float | Tensor:
    """Nats per example to bits per dimension: ``nats / (dims ln 2)``.

    Args:
        nats: nats of a whole example (a float or a tensor of any shape).
        dims: number of dimensions of one example, e.g. 784 for 28x28 grey images.
    """
    return nats / (dims * math.log(2))
