"""What the model was worth before training: a loss far above that says that training has destroyed it."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from genexp.families.base import GenerativeModule
from genexp.probability.randomness import keyed_draws

EXAMPLES = 256
"""At most so many validation examples measure the untrained model."""


class Untrained(Callback):
    """Compares every ``val/loss`` with the untrained model's and tells when it is far worse: by more than the untrained model's
    loss itself, and by more than 1 nat per dimension. The weights are finite then, and yet training has only destroyed them,
    mostly by too large a learning rate. The measurement draws nothing that training could notice.

    For families with one loss; those of players in a game do not compare over time.

    Args:
        seed: of the run; keys the examples and the draws.
        tell: called with one line when ``val/loss`` becomes far worse, and with None when it is no longer.
    """

    def __init__(self, seed: int, tell: Callable[[str | None], None]) -> None:
        self.seed, self.tell = seed, tell
        self.loss: float | None = None
        self.is_worse = False

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "is_worse": self.is_worse}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loss, self.is_worse = state_dict["loss"], state_dict["is_worse"]

    @torch.no_grad()
    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if pl_module.images_seen > 0:
            return  # a run of an earlier version that continues has no such value
        data, device = trainer.datamodule, pl_module.device
        x, y = data.examples("validation", min(EXAMPLES, data.evaluation_batch_size), self.seed)
        with keyed_draws(device, self.seed, "untrained"), pl_module.evaluating():
            self.loss = float(pl_module.loss(x.to(device), None if y is None else y.to(device))["loss"].mean())

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if self.loss is None or "val/loss" not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics["val/loss"])
        was_worse, self.is_worse = self.is_worse, value - self.loss > max(abs(self.loss), pl_module.dims)
        if self.is_worse == was_worse or not trainer.is_global_zero:
            return
        self.tell(
            f"val/loss is {value:.4g} at {pl_module.images_seen:,} images, far worse than {self.loss:.4g} of the untrained model: "
            "training destroys it; try a smaller learning rate or training.gradient_clip_norm"
            if self.is_worse
            else None
        )
