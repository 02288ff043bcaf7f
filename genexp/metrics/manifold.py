"""Density and coverage: how samples fill the neighbourhoods of real examples (Naeem et al. 2020)."""

import torch
from torch import Tensor

PAIRS_AT_ONCE = 10_000_000
"""Of distances in memory: 80 MB."""


def density_and_coverage(real: Tensor, fake: Tensor, k: int) -> tuple[float, float]:
    """Density and coverage of ``fake`` with respect to ``real`` (Naeem et al. 2020, section 3).

    With B(X_i) the open ball about real example i that reaches to its k-th nearest other real example,

        density = 1 / (k M) sum_j sum_i 1[Y_j in B(X_i)],    coverage = 1 / N sum_i 1[some Y_j in B(X_i)].

    Of equal distributions the density is 1 in expectation, and the coverage ``1 - prod_{l=1}^{k} (N - l) / (N + M - l)``,
    about 1 - 2^-k where N = M. An example with k duplicates has an empty ball, and counts as not covered.

    Args:
        real: X, features ``(N, F)``.
        fake: Y, features ``(M, F)``.
        k: which neighbour sets the radius of a ball, 1 to N - 1; the paper takes 5.

    Returns:
        Density, at least 0 and possibly above 1, and coverage, 0 to 1.
    """
    real, fake = real.double(), fake.double()
    inside = covered = 0
    for rows in real.split(max(1, PAIRS_AT_ONCE // max(len(real), len(fake)))):
        radii = torch.cdist(rows, real).kthvalue(k + 1, dim=1).values  # the nearest is the example itself
        hits = torch.cdist(rows, fake) < radii[:, None]
        inside += hits.sum().item()
        covered += hits.any(1).sum().item()
    return inside / (k * len(fake)), covered / len(real)
