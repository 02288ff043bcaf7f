"""The clock of a run: keyed random draws for every step, and the end after so many images or steps."""

from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from genexp.families.base import GenerativeModule
from genexp.probability.randomness import key


class Clock(Callback):
    """Seeds every training step with (seed, step, process) and every validation batch with (seed, batch, process), so that
    no draw depends on an earlier one, and stops training, with a last validation, at the first limit that is reached.

    Args:
        seed: the run's seed.
        max_images: stop once so many training examples have been seen, over all processes; None for no limit.
        max_steps: stop after so many training steps (generator steps of a GAN); None for no limit.
        max_epochs: stop after so many passes over the training split; None for no limit.
    """

    def __init__(self, seed: int, max_images: int | None, max_steps: int | None, max_epochs: int | None) -> None:
        self.seed, self.max_images, self.max_steps, self.max_epochs = seed, max_images, max_steps, max_epochs

    def on_train_batch_start(self, trainer: Trainer, pl_module: GenerativeModule, batch: Any, batch_idx: int) -> None:
        torch.manual_seed(key(self.seed, "step", pl_module.steps, trainer.global_rank))

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: GenerativeModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        torch.manual_seed(key(self.seed, "validation", batch_idx, trainer.global_rank))

    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        epochs = trainer.current_epoch + trainer.is_last_batch
        for reached, limit in (
            (pl_module.images_seen, self.max_images),
            (pl_module.steps, self.max_steps),
            (epochs, self.max_epochs),
        ):
            if limit is not None and reached >= limit:
                trainer.should_stop = True
                trainer.check_val_every_n_epoch = 1  # or an epoch between two validations ends without a checkpoint
