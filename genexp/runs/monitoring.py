"""Metrics of the validation split while a run trains."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.record.errors import ConfigError
from genexp.record.values import Direction
from genexp.runs.evaluate import compute

WORDS = {"min": "smallest", "max": "largest"}


class Monitoring:
    """Computes the metrics, at first of the untrained model: so what their values are called, and whatever would fail, is
    known before training begins.

    Args:
        metrics: by name.
        model: untrained, on the CPU.
        data: its data module, set up.
        losses: names ``val/...`` of what every validation measures anyway.
        seed: keys all draws.
        device: that training will use.

    Raises:
        ConfigError: a metric cannot be computed.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        model: GenerativeModule,
        data: Any,
        losses: Sequence[str],
        seed: int,
        device: torch.device,
    ) -> None:
        self.metrics, self.data, self.seed = metrics, data, seed
        self.directions: dict[str, Direction | None] = dict.fromkeys(losses, "min")
        """Whether the smallest or the largest is best, or neither, of every validation value by its name ``val/...``."""
        self.names: list[str] = []
        """Those of the metrics."""
        if metrics:
            try:
                self.names = list(self.measure(model.to(device)))
            except (OSError, ValueError, RuntimeError) as error:
                raise ConfigError(f"monitors: {' '.join(str(error).split())}") from error
            model.cpu()

    def measure(self, model: GenerativeModule) -> dict[str, float]:
        """Values by name ``val/...``, with the same draws every time."""
        values = {}
        for value in compute(model, self.data, self.metrics, "validation", self.seed, Console(quiet=True)):
            name = replace(value, split="val").key
            values[name], self.directions[name] = value.value, value.direction
        return values

    def selection(self, monitor: str | None) -> str:
        """How the best checkpoint is chosen: ``last``, or e.g. ``smallest val/loss``."""
        return "last" if monitor is None else f"{WORDS[self.directions[monitor]]} {monitor}"
