"""The clock of a run: keyed random draws for every step, and the end after so many images or steps."""

from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from genexp.families.base import GenerativeModule
from genexp.probability.randomness import StepDraws, key


class Clock(Callback):
    """Keys the draws of every training step with (seed, step) and those of every validation batch with (seed, batch), so
    that none depends on an earlier one, nor on the number of processes, and stops training, with a last validation, at
    the first limit that is reached. Other draws, e.g. of dropout, have a seed of each process.

    Args:
        seed: the run's seed.
        max_images: stop once so many training examples have been seen, over all processes; None for no limit.
        max_steps: stop after so many training steps (generator steps of a GAN); None for no limit.
        max_epochs: stop after so many passes over the training split; None for no limit.
    """

    def __init__(self, seed: int, max_images: int | None, max_steps: int | None, max_epochs: int | None) -> None:
        self.seed, self.max_images, self.max_steps, self.max_epochs = seed, max_images, max_steps, max_epochs

    def on_train_batch_start(self, trainer: Trainer, pl_module: GenerativeModule, batch: Any, batch_idx: int) -> None:
        counts = _counts(trainer, "train", batch_idx)
        self._begin(trainer, pl_module, "step", pl_module.steps, before=pl_module.images_pending, counts=counts)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: GenerativeModule, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._begin(
            trainer, pl_module, "validation", batch_idx, before=0, counts=_counts(trainer, "validation", batch_idx)
        )

    def _begin(
        self,
        trainer: Trainer,
        model: GenerativeModule,
        kind: str,
        number: int,
        before: int,
        counts: tuple[int, int] | None,
    ) -> None:
        rank, world = trainer.global_rank, trainer.world_size
        torch.manual_seed(key(self.seed, kind, number, before, rank))
        model.context.draws = StepDraws(
            self.seed,
            kind,
            "draws",
            number,
            rank=rank,
            world=world,
            before=before,
            examples=None if counts is None else counts[1],
        )
        model.context.counts = counts

    def on_validation_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        pl_module.context.draws = pl_module.context.counts = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        pl_module.context.draws = pl_module.context.counts = None
        if not pl_module.at_boundary:
            return
        epochs = trainer.current_epoch + trainer.is_last_batch
        for reached, limit in (
            (pl_module.images_seen, self.max_images),
            (pl_module.steps, self.max_steps),
            (epochs, self.max_epochs),
        ):
            if limit is not None and reached >= limit:
                trainer.should_stop = True
                trainer.check_val_every_n_epoch = 1  # or an epoch between two validations ends without a checkpoint


def _counts(trainer: Trainer, split: str, number: int) -> tuple[int, int] | None:
    """Examples of a batch on this process and on all; None where there is only one, or the data are a loader."""
    if trainer.world_size == 1 or trainer.datamodule is None:
        return None
    return trainer.datamodule.counts(split, number)
