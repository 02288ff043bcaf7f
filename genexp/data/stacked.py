"""Stacked digits: images with a digit in every channel, for mode collapse (Metz et al. 2017; Srivastava et al. 2017)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from genexp.data.in_memory import InMemoryData
from genexp.data.splits import check_splits
from genexp.probability.randomness import generator


class StackedDigits(InMemoryData):
    """Grey digits, drawn at random with replacement, as the channels of an image: 10^C modes of equal weight if the digits are
    equally frequent.

    A split is drawn from the same split of the digits, so that no test example holds a training digit; Lin et al. (2018)
    draw from all 70,000 digits.

    Args:
        source: the digits, ``(1, H, W)``.
        splits: number of images of ``train``, ``validation`` and ``test``.
        data_seed: of the draws; the same data whatever the seed of the run.
        common: see :class:`genexp.data.in_memory.InMemoryData`; ``shape`` is ``(C, H, W)``.

    Raises:
        ValueError: ``levels`` is not that of the source.
    """

    stacked_digits: ClassVar[bool] = True

    def __init__(self, *, source: InMemoryData, splits: Mapping[str, int], data_seed: int, **common: Any) -> None:
        super().__init__(**common)
        if self.levels != source.levels:
            raise ValueError(f"data.levels={self.levels}: must be data.source.levels={source.levels}")
        self.source = source
        self.splits = check_splits(splits)
        self.data_seed = data_seed

    def prepare_data(self) -> None:
        self.source.prepare_data()

    def load(self, split: str) -> tuple[Tensor, None]:
        digits, _ = self.source.tensors(split)
        size = self.splits[split], self.shape[0]
        chosen = torch.randint(len(digits), size, generator=generator(self.data_seed, "stacked", split))
        return digits[chosen, 0], None

    def protocol(self, split: str) -> dict[str, Any]:
        source = {f"source_{name}": value for name, value in self.source.protocol(split).items()}
        return super().protocol(split) | {"data_seed": self.data_seed} | source
