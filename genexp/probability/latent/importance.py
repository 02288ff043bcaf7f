"""Importance-weighted bounds on log p(x) (Burda, Grosse, Salakhutdinov, ICLR 2016)."""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor

from genexp.ranges import at_least


def importance_bound(log_weights: Callable[[int], Tensor], k: int, at_once: int) -> Tensor:
    """log (1/k) sum_i w_i over k draws, ``at_once`` at a time, by a running log-sum-exp: ``(B,)`` in nats.

    In expectation at most log p(x) for weights w = p(x, z) / q(z | x), z ~ q (equation 8); the ELBO for k = 1.

    Args:
        log_weights: draws n times z for each x and returns log w ``(n, B)`` in nats.
        k: number of draws, at least 1.
        at_once: largest n, at least 1, which limits the memory.

    Raises:
        ValueError: k is below 1.
    """
    at_least(1, k=k)
    total = None
    for start in range(0, k, at_once):
        part = log_weights(min(at_once, k - start)).logsumexp(0)
        total = part if total is None else torch.logaddexp(total, part)
    return total - log(k)
