"""Metrics of the validation split while a run trains, as ``config.monitors`` names them."""

from collections.abc import Sequence
from typing import Any, Literal

from omegaconf import DictConfig
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.record.errors import ConfigError
from genexp.runs.evaluate import choose_metrics, compute
from genexp.runs.trainer import make_trainer

WORDS = {"min": "smallest", "max": "largest"}


class Monitoring:
    """Computes the metrics, at first of the untrained model: so what their values are called, and whatever would fail, is
    known before training begins.

    Args:
        config: the composed config.
        model: untrained.
        data: its data module, set up.
        losses: names ``val/...`` of what every validation measures anyway.
        console: where to write.

    Raises:
        ConfigError: a metric does not fit, or cannot be computed.
    """

    def __init__(
        self, config: DictConfig, model: GenerativeModule, data: Any, losses: Sequence[str], console: Console
    ) -> None:
        self.data, self.seed = data, config.seed
        self.directions: dict[str, Literal["min", "max"] | None] = dict.fromkeys(losses, "min")
        """Whether the smallest or the largest is best, or neither, of every validation value by its name ``val/...``."""
        self.names: list[str] = []
        """Those of the metrics."""
        self.metrics = {}
        if config.get("monitors"):
            self.metrics = choose_metrics(config, model, data, list(config.allow_targets), console, "monitors")
            try:
                device = make_trainer(config, model, logger=False).strategy.root_device
                self.names = list(self.measure(model.to(device)))
            except (OSError, ValueError, RuntimeError) as error:
                raise ConfigError(f"monitors: {' '.join(str(error).split())}") from error
            model.cpu()

    def measure(self, model: GenerativeModule) -> dict[str, float]:
        """Values by name ``val/...``, with the same draws every time."""
        quiet = Console(quiet=True)
        values = {}
        for record in compute(model, self.data, self.metrics, "validation", self.seed, {}, quiet):
            name = f"val/{record['key'].removeprefix('validation/')}"
            values[name], self.directions[name] = record["value"], record["direction"]
        return values

    def selection(self, monitor: str | None) -> str:
        """How the best checkpoint is chosen: ``last``, or e.g. ``smallest val/loss``."""
        return "last" if monitor is None else f"{WORDS[self.directions[monitor]]} {monitor}"
