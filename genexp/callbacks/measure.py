"""Metrics of the model while it trains."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from genexp.families.base import GenerativeModule


class Monitors(Callback):
    """Measures the model after the first validation, the last, and those by which another ``every_images`` images have been
    seen. The values are then among that validation's metrics, for all callbacks that follow, and not among the next one's.

    Stands before all that reads them, and before EMA takes its average out of the model again.

    Args:
        measure: called with the model, gives values by name ``val/...``; called by the first process only.
        names: of these values.
        every_images: training images between two measurements; looked at after each validation.
    """

    def __init__(
        self, measure: Callable[[GenerativeModule], dict[str, float]], names: Sequence[str], every_images: int
    ) -> None:
        self.measure, self.names, self.every = measure, names, every_images
        self._next = 0

    def state_dict(self) -> dict[str, Any]:
        return {"next": self._next}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._next = state_dict["next"]

    def on_validation_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        for name in self.names:
            trainer.callback_metrics.pop(name, None)

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if pl_module.images_seen < self._next and not trainer.should_stop:
            return
        self._next = (pl_module.images_seen // self.every + 1) * self.every
        with pl_module.whole():
            values = self.measure(pl_module) if trainer.is_global_zero else {}
        values = trainer.strategy.broadcast(values)
        trainer.callback_metrics.update({k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()})
