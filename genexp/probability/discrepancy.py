"""Maximum mean discrepancy: how far apart two distributions are, from their draws (Gretton et al. 2012)."""

import torch
from torch import Tensor


def inverse_multiquadratic_mmd(a: Tensor, b: Tensor, scale: float, at_once: int) -> float:
    """The squared MMD with the kernel scale / (scale + |u - v|^2), without bias (Gretton et al. 2012, equation 3).

    Args:
        a, b: draws ``(N, D)`` and ``(M, D)``, at least 2 of each.
        scale: of squared distances, positive.
        at_once: rows of ``a`` or ``b`` that meet all others at once, at least 1: limits the memory.

    Returns:
        0 in expectation for equal distributions, so that it may be negative; at most 2.
    """

    def total(u: Tensor, v: Tensor) -> float:
        return sum((scale / (scale + torch.cdist(rows, v) ** 2)).sum().item() for rows in u.split(at_once))

    def within(u: Tensor) -> float:
        return (total(u, u) - len(u)) / (len(u) * (len(u) - 1))

    a, b = a.double(), b.double()
    return within(a) + within(b) - 2 * total(a, b) / (len(a) * len(b))
