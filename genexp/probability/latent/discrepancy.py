"""How far apart two distributions are, from their draws: maximum mean discrepancy, rank sums."""

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


def rank_sum_z(a: Tensor, b: Tensor) -> float:
    """The z-score of the Mann-Whitney test: whether draws of one variable are larger than those of another.

    U counts the pairs with a_i > b_j, ties by half. With N = n + m and t_r draws at each value r,

        z = (U - n m / 2) / sqrt(n m / 12 ((N + 1) - sum_r (t_r^3 - t_r) / (N (N - 1)))),

    without a correction for continuity (Mann & Whitney 1947; the variance with ties: Lehmann 1975, section 1.4).

    Args:
        a: draws ``(n,)``, at least 1.
        b: draws ``(m,)``, at least 1.

    Returns:
        About standard normal for equal distributions, negative where ``a`` is smaller; 0 if all draws are equal.
    """
    n, m = len(a), len(b)
    _, place, ties = torch.cat([a, b]).unique(return_inverse=True, return_counts=True)
    ties = ties.double()
    ranks = ties.cumsum(0) - (ties - 1) / 2
    u = ranks[place[:n]].sum() - n * (n + 1) / 2
    total = n + m
    variance = n * m / 12 * (total + 1 - (ties**3 - ties).sum() / (total * (total - 1)))
    return ((u - n * m / 2) / variance.sqrt()).item() if variance > 0 else 0.0
