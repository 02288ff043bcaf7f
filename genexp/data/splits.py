"""Cutting one set of examples into training, validation and test parts."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from genexp.data.base import SPLITS
from genexp.ranges import at_least


def check_splits(splits: Mapping[str, int]) -> dict[str, int]:
    """The sizes as a plain dictionary.

    Raises:
        ValueError: the keys are not train, validation and test, or a size is below 1.
    """
    if set(splits) != set(SPLITS):
        raise ValueError(f"data.splits={dict(splits)}: must give train, validation and test, each at least 1")
    for split, size in splits.items():
        at_least(1, **{f"data.splits.{split}": size})
    return {split: splits[split] for split in SPLITS}


def permuted(n: int, splits: Mapping[str, int], seed: int, split: str) -> Tensor:
    """Indices of a split: consecutive parts, in the order train, validation, test, of one fixed permutation.

    Args:
        n: number of examples, at least the sum of the sizes.
        splits: size of each split.
        seed: of numpy's PCG64 generator, which draws the permutation.
        split: the part wanted.

    Returns:
        ``(splits[split],)`` int64.

    Raises:
        ValueError: the sizes exceed ``n``.
    """
    sizes = list(splits.values())
    if sum(sizes) > n:
        raise ValueError(f"data.splits={dict(splits)}: adds up to {sum(sizes)}, but there are {n} examples")
    order = torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).permutation(n))
    return order.split([*sizes, n - sum(sizes)])[SPLITS.index(split)]
