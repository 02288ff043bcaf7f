"""Importance-weighted bounds on a log-likelihood."""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor


def importance_bound(log_weights: Callable[[int], Tensor], k: int, at_once: int) -> Tensor:
    """log (1/k) sum_i w_i (Burda, Grosse, Salakhutdinov 2016, equation 8).

    Args:
        log_weights: draws as many weights as it is told for each example of a batch: log w ``(n, B)``, nats.
        k: number of weights of each example, at least 1.
        at_once: how many are drawn at once, at least 1: a running log-sum-exp keeps the memory independent of k.

    Returns:
        ``(B,)`` in nats.
    """
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1")
    total = None
    for start in range(0, k, at_once):
        part = log_weights(min(at_once, k - start)).logsumexp(0)
        total = part if total is None else torch.logaddexp(total, part)
    return total - log(k)
