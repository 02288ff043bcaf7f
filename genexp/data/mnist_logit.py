"""MNIST as reals: dequantised once, and carried to the whole line by a logit."""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genexp.data.base import SPLITS
from genexp.data.mnist import MnistFiles
from genexp.ranges import inside


class LogitMnist(MnistFiles):
    """x = logit(alpha + (1 - 2 alpha) (g + u) / 256), g grey in 0, ..., 255 and u ~ U[0, 1), drawn once: float32 ``(N, 784)``.

    The protocol of Papamakarios et al. 2017 (MAF), whose likelihoods are those of x: of reals, and not bits/dim of levels.

    Args:
        alpha: in (0, 0.5).
        noise_seed: of numpy's legacy generator, which draws u of train, validation and test in turn, as in the authors' code; the
            same data whatever the seed of the run.
        common: see :class:`MnistFiles`.
    """

    def __init__(self, *, alpha: float, noise_seed: int, **common: Any) -> None:
        super().__init__(**common)
        inside(0, 0.5, **{"data.alpha": alpha})
        self.alpha, self.noise_seed = alpha, noise_seed

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        grey, y = self.grey(split)
        legacy = np.random.RandomState(self.noise_seed)
        for before in SPLITS[: SPLITS.index(split)]:
            for _ in range(self.splits[before]):  # the noise of the other splits comes first in the stream of draws
                legacy.rand(prod(self.shape))
        x = (grey.flatten(1) + torch.from_numpy(legacy.rand(len(grey), prod(self.shape)))) / 256
        return torch.logit(self.alpha + (1 - 2 * self.alpha) * x).float(), y

    def protocol(self, split: str) -> dict[str, Any]:
        space = f"logit of {self.alpha} + (1 - 2 {self.alpha}) x, noise seed {self.noise_seed}"
        return super().protocol(split) | {"space": space}
