"""Between the data space and the reals, and between nats and bits/dim: the one place for both.

The data space holds integers in ``[0, levels)``. Networks want reals; ``unit`` and ``symmetric`` map the levels
linearly onto [0, 1] and [-1, 1], end points included, and ``from_symmetric`` maps back to the nearest level.
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
    if levels is None:
        return v
    return ((v.clamp(-1, 1) + 1) / 2 * (levels - 1)).round().to(torch.uint8)


def bits_per_dim(nats: float | Tensor, dims: int) -> float | Tensor:
    """Nats per example to bits per dimension: ``nats / (dims ln 2)``.

    Args:
        nats: nats of a whole example (a float or a tensor of any shape).
        dims: number of dimensions of one example, e.g. 784 for 28x28 grey images.
    """
    return nats / (dims * math.log(2))
