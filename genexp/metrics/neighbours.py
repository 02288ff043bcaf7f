"""The nearest examples of a split, in the data space."""

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

PAIRS_AT_ONCE = 2_000_000
"""Of distances in memory: 16 MB."""


def nearest(x: Tensor, data: LightningDataModule, split: str, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` nearest examples of a split to each of ``x``, in Euclidean distance.

    Distances are root mean squares over dimensions: ``sqrt(sum_d (x_d - t_d)^2 / D)``. Levels count as reals in [0, 1], for
    which the sums are exact: 0 is the distance of a copy and of nothing else.

    Args:
        x: ``(N, *shape)`` in the data space.
        data: set up.
        split: ``train``, ``validation`` or ``test``, with at least k examples.
        k: number of neighbours, at least 1.

    Returns:
        The distances ``(N, k)`` float64, the smallest first, and which examples of the split these are, ``(N, k)`` int64.
    """
    points = x.flatten(1).double()
    distances, index = points.new_empty(len(x), 0), torch.empty(len(x), 0, dtype=torch.int64)
    seen = 0
    for others, _ in data.loader(split, max(k, PAIRS_AT_ONCE // len(x))):
        found = torch.cdist(points, others.flatten(1).double())
        numbers = torch.arange(seen, seen + len(others)).expand(len(x), -1)
        both, index = torch.cat([distances, found], dim=1), torch.cat([index, numbers], dim=1)
        distances, chosen = both.topk(min(k, both.shape[1]), largest=False)
        index = index.gather(1, chosen)
        seen += len(others)
    largest = 1 if data.levels is None else data.levels - 1
    return distances / (points.shape[1] ** 0.5 * largest), index
