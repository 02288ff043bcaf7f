"""What metrics of a model's samples share: how many there are, and how they are drawn."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.probability.randomness import keyed_draws
from genexp.ranges import at_least


class SampleMetric(Metric):
    """A metric of ``n`` samples of the model.

    Args:
        n: number of samples drawn from the model, at least 1.
        knobs: options of the model's sampler, e.g. ``temperature``; the protocol names them.
        batch_size: samples per call of the sampler, and images per forward pass of a network that judges them.
    """

    requires = (GenerativeModule,)

    def __init__(self, *, n: int, knobs: Mapping[str, Any], batch_size: int) -> None:
        at_least(1, n=n, batch_size=batch_size)
        self.n, self.knobs, self.batch_size = n, dict(knobs), batch_size

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        try:
            model.check_knobs(self.knobs)
        except ValueError as error:
            return f"knobs.{error}"
        return super().refusal(model, data)

    def draw(self, model: GenerativeModule, seed: int, purpose: str, y: Tensor | None = None) -> Tensor:
        """The samples ``(n, *shape)`` in the data space, on the CPU; each batch from its own key.

        Args:
            model: on its device.
            seed: of the evaluation.
            purpose: what the samples are for; with the seed it keys them.
            y: labels ``(n,)``; None draws those of a conditional model uniformly.
        """
        batches = []
        for index, start in enumerate(range(0, self.n, self.batch_size)):
            model.context.doing(f"sampling, {start:,} of {self.n:,}")
            end = min(start + self.batch_size, self.n)
            with keyed_draws(model.device, seed, purpose, index):
                labels = None if y is None else y[start:end]
                batches.append(model.sample(end - start, labels, **self.knobs).cpu())
        model.context.doing("")
        return torch.cat(batches)

    def protocol(self, model: GenerativeModule, data: LightningDataModule, split: str) -> dict[str, Any]:
        """That of a split, and how the samples were drawn."""
        drawn = {"samples": self.n, "samples_from": "model", "conditional": model.conditional}
        if self.knobs:
            drawn["knobs"] = ", ".join(f"{knob}={value}" for knob, value in sorted(self.knobs.items()))
        return data.protocol(split) | drawn
