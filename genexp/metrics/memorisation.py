"""Whether samples lie closer to training examples than unseen examples of the same distribution do."""

from typing import Any

import torch
from pytorch_lightning import LightningDataModule

from genexp.families.base import GenerativeModule
from genexp.metrics.neighbours import nearest
from genexp.metrics.samples import SampleMetric
from genexp.probability.latent.discrepancy import rank_sum_z
from genexp.record.values import Value


class Memorisation(SampleMetric):
    """The data-copying test of Meehan, Chaudhuri & Dasgupta (2020) with one cell, in the data space.

    Values, kind ``estimate``, of ``n`` samples and of as many examples of the split, or all where there are fewer, by the
    distance of each to its nearest training example, a root mean square over dimensions, levels in [0, 1]:

    - ``<split>/data_copying_z_<n>``: C_T (definition 4 there), the z-score of the Mann-Whitney test, see
      :func:`genexp.probability.latent.discrepancy.rank_sum_z`. Far below 0, say -3, samples lie too close: training examples are
      copied. Around 0 they lie as unseen examples do, and far above 0 farther away than these: that is underfitting. So
      neither small nor large values are better. It grows with the square root of n.
    - ``<split>/train_distance_<n>``: the median distance of the samples, and ``<split>/train_distance_real``: that of the
      examples of the split.

    Copies of a shifted or otherwise changed training image are far from it in this distance, and not found.

    Args:
        sampling: see :class:`genexp.metrics.samples.SampleMetric`.
    """

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        if split == "train":
            raise ValueError("split=train: the samples are compared with unseen examples, take validation or test")
        unseen, _ = data.examples(split, self.n, seed)
        points = torch.cat([self.draw(model, seed, "memorisation"), unseen])
        distances = nearest(points, data, "train", 1)[0][:, 0]
        drawn, real = distances[: self.n], distances[self.n :]
        common = {"train_n": data.size("train"), "distance": "rms over dimensions", "unseen": len(unseen)}
        protocol = self.protocol(model, data, split) | common

        def value(quantity: str, of: dict[str, Any], number: float, n: int, protocol: dict[str, Any]) -> Value:
            about = {"split": split, "unit": "", "kind": "estimate", "direction": None, "stderr": None}
            return Value(quantity=quantity, settings=of, value=number, n=n, protocol=protocol, **about)

        return [
            value("data_copying_z", {"n": self.n}, rank_sum_z(drawn, real), self.n, protocol),
            value("train_distance", {"n": self.n}, drawn.median().item(), self.n, protocol),
            value("train_distance", {"of": "real"}, real.median().item(), len(real), data.protocol(split) | common),
        ]
