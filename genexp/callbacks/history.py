"""The history of a run: ``metrics.csv``, written line by line, and the same numbers for the loggers."""

import csv
import io
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from genexp.callbacks.finite import Finite, TrainingDiverged
from genexp.callbacks.hand_over import hand_over_values
from genexp.families.base import GenerativeModule
from genexp.record.provenance import naming, write_atomically
from genexp.record.schema import COLUMNS
from genexp.record.small_files import read_history


class History(Callback):
    """Writes one row per metric: training losses as means over ``log_every_steps`` steps and the learning rate after them,
    validation metrics as they come.

    The file is line-buffered, so that what was logged survives whatever ends the process. The losses are summed on their
    device and read only when they are logged. A value of a validation that is not finite ends the run.

    Args:
        path: the file; a resumed run keeps its rows up to the checkpoint.
        log_every_steps: training steps per row.
        finite: looks at the losses of the steps before their mean is logged.
        look: called with the means of the training losses by name, and the images seen, when they are logged; on all
            processes alike. None where nobody looks.
    """

    def __init__(
        self,
        path: Path,
        log_every_steps: int,
        finite: Finite,
        look: Callable[[dict[str, float], int], None] | None = None,
    ) -> None:
        self.path, self.every, self.finite, self.look = path, log_every_steps, finite, look
        self._sums: dict[str, Tensor] = {}
        self._steps = self._batches = 0
        self._started = time.monotonic()
        self._file: Any = None
        self._where: tuple[Trainer, GenerativeModule] | None = None

    def state_dict(self) -> dict[str, Any]:
        counts = {"steps": self._steps, "batches": self._batches}
        return {"sums": self._sums, **counts, "seconds": time.monotonic() - self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums, self._steps, self._batches = (state_dict[name] for name in ("sums", "steps", "batches"))
        self._started = time.monotonic() - state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        self._where = trainer, pl_module
        if trainer.is_global_zero:
            rows = self._rows_until(pl_module.images_seen)
            text = io.StringIO(newline="")
            csv.writer(text).writerows([COLUMNS, *rows])
            write_atomically(self.path, text.getvalue())
            self._file = open(self.path, "a", buffering=1, newline="", encoding="utf-8")
        self._sums = {name: value.to(pl_module.device) for name, value in self._sums.items()}

    def _rows_until(self, images: int) -> list[list[str]]:
        """What was written up to the checkpoint that training continues from; the rest will be written again."""
        if images == 0:
            return []
        rows = [[row[name] for name in COLUMNS] for row in read_history(self.path)]
        return [row for row in rows if int(row[0]) <= images]

    def teardown(self, trainer: Trainer, pl_module: GenerativeModule, stage: str) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: GenerativeModule, exception: BaseException) -> None:
        self._close()  # teardown is not called then

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with naming(self.path):
                file.close()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: GenerativeModule, outputs: dict[str, Tensor], *_: Any
    ) -> None:
        for name, value in outputs.items():
            self._sums[name] = self._sums[name] + value.detach() if name in self._sums else value.detach().clone()
        self._batches += bool(outputs)
        self._steps += pl_module.at_boundary
        if self._steps >= self.every:
            self._flush(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        self._flush(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self._write(trainer, pl_module, values)

    def _flush(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        """Log the mean of the training losses since the last time, over all processes."""
        if self._batches:
            self.finite.look(trainer)
            reduced = trainer.strategy.reduce(torch.stack(list(self._sums.values())) / self._batches, reduce_op="mean")
            means = dict(zip(self._sums, reduced.tolist(), strict=True))
            self._sums, self._steps, self._batches = {}, 0, 0
            values = {f"train/{name}": value for name, value in means.items()}
            self._write(trainer, pl_module, values | learning_rates(trainer, pl_module))
            if self.look is not None:
                self.look(means, pl_module.images_seen)

    def add(self, values: Mapping[str, float]) -> None:
        """Write a row for each value, as of now; nothing before the training and after it."""
        if self._file is None:
            return
        trainer, model = self._where
        seconds = round(time.monotonic() - self._started, 2)
        writer = csv.writer(self._file)
        with naming(self.path):
            for name, value in values.items():
                row = (model.images_seen, model.steps, trainer.current_epoch, seconds, name, f"{value:.7g}")
                writer.writerow(row)

    def _write(self, trainer: Trainer, model: GenerativeModule, values: dict[str, float]) -> None:
        self.add(values)
        hand_over_values(trainer, model, values)
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"{name} is {value} at step {model.steps} ({model.images_seen:,} images): training has diverged; "
                    "try a smaller learning rate or training.gradient_clip_norm"
                )


def learning_rates(trainer: Trainer, model: GenerativeModule) -> dict[str, float]:
    """``train/lr``, or ``train/lr_<player>`` of a family that steps several optimizers: the rate that each has now, of its
    first group of parameters; nothing where there is none to train."""
    names = [f"train/lr_{player}" for player in model.players] or ["train/lr"]
    rates = (optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers if optimizer.param_groups)
    return {name: float(rate) for name, rate in zip(names, rates, strict=False)}
