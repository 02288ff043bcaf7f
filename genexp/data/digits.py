"""The 1,797 handwritten digits that come with scikit-learn: 8x8, 17 levels, no download."""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from genexp.data.in_memory import InMemoryData
from genexp.data.splits import check_splits, permuted
from genexp.ranges import at_least


class Digits(InMemoryData):
    """The test part of Alpaydin & Kaynak (1998), "Optical recognition of handwritten digits", UCI.

    Each value counts the ink in a 4x4 block of a bitmap: 0 to 16.

    Args:
        splits: sizes of ``train``, ``validation`` and ``test``, 1,797 together at most.
        split_seed: of the permutation that separates them.
        common: see :class:`genexp.data.in_memory.InMemoryData`.
    """

    only_levels: ClassVar[int] = 17

    def __init__(self, *, splits: Mapping[str, int], split_seed: int, **common: Any) -> None:
        super().__init__(**common)
        self.splits = check_splits(splits)
        at_least(0, **{"data.split_seed": split_seed})
        self.split_seed = split_seed

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = digits()
        part = permuted(len(x), self.splits, self.split_seed, split)
        return x[part], y[part]

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {"split_seed": self.split_seed}


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All ``(1797, 1, 8, 8)`` uint8 from 0 to 16 and their labels; their text file is read once a process."""
    from sklearn.datasets import load_digits

    source = load_digits()
    return torch.from_numpy(source.images).to(torch.uint8)[:, None], torch.from_numpy(source.target).long()
