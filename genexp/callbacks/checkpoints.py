"""When checkpoints are written: after every validation, every few minutes, and when the run is asked to end."""

import os
import shutil
import time
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, Trainer

from genexp.callbacks.collapse import Collapse
from genexp.callbacks.finite import Finite
from genexp.callbacks.stop import Stop
from genexp.families.base import GenerativeModule


class Checkpoints(Callback):
    """Writes ``last.ckpt``, keeps the one before it as ``previous.ckpt``, and the best as ``best.ckpt``.

    All are written at points from which training continues exactly: after a whole training step, or after a validation; and
    only if they are finite. A file is never changed, only replaced, so equal ones are hard links.

    Args:
        folder: where they go.
        monitor: validation metric whose best value makes the best checkpoint; None makes the best the last.
        mode: whether the smallest or the largest value is the best.
        collapse: tells that training may be collapsing; a checkpoint from before then stays the best. None where nobody
            looks.
        every_minutes: time between two checkpoints within an epoch.
        finite: looks at what would be written.
        stop: tells that the run is asked to end.
        end: the limits of training; a checkpoint written at its end keeps them as ``is_end``.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str | None,
        mode: Literal["min", "max"],
        collapse: Collapse | None,
        every_minutes: float,
        finite: Finite,
        stop: Stop,
        end: list[int | None],
    ) -> None:
        self.folder, self.every, self.stop, self.end = folder, every_minutes * 60, stop, end
        self.monitor, self.mode, self.collapse, self.finite = monitor, mode, collapse, finite
        self.best: float | None = None
        self.has_good = False
        self.is_end: list[int | None] | None = None
        self._saved: int | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "has_good": self.has_good, "is_end": self.is_end}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.has_good = state_dict["best"], state_dict.get("has_good", True)  # absent in earlier versions

    def last_good(self) -> str:
        """Where the last good checkpoint is, for a message."""
        if not self.has_good:
            return "there is no good checkpoint"
        return f"the last good checkpoint is {self.folder / 'best.ckpt'}"

    def newest(self) -> str:
        """Where the checkpoint is that the run would continue from, for a message."""
        return (
            f"the last good checkpoint is {self.folder / 'last.ckpt'}"
            if self.has_any()
            else "there is no checkpoint yet"
        )

    def has_any(self) -> bool:
        """Whether a checkpoint was written."""
        return (self.folder / "last.ckpt").exists()

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        self.stop.install()
        self._due = time.monotonic() + self.every
        self._saved = pl_module.steps if self.has_any() else None

    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        if not pl_module.at_boundary:
            return
        wanted = self.stop.requested is not None or self.stop.save or time.monotonic() >= self._due
        if trainer.strategy.reduce_boolean_decision(wanted, all=False):
            if trainer.is_last_batch or trainer.should_stop:
                return  # the epoch ends first: after its validation, or within the next epoch
            self._save(trainer, pl_module)
            self._leave_if_asked(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        is_best = self._is_best(trainer)
        self.is_end = self.end if trainer.should_stop else None
        self._save(trainer, pl_module)
        if is_best and trainer.is_global_zero:
            replace_with_copy(self.folder / "last.ckpt", self.folder / "best.ckpt")
        self._leave_if_asked(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        """No training ends without its checkpoint, whatever ended it."""
        if pl_module.at_boundary and self._saved != pl_module.steps:
            self._save(trainer, pl_module)
        if trainer.is_global_zero:
            self.keep_best()

    def keep_best(self) -> None:
        """Make the last checkpoint the best where there is none yet: no validation has chosen one."""
        last, best = self.folder / "last.ckpt", self.folder / "best.ckpt"
        if last.exists() and not best.exists():
            replace_with_copy(last, best)

    def _is_best(self, trainer: Trainer) -> bool:
        """Whether the present weights are the best so far, which they then count as."""
        value = None
        if self.monitor is not None:
            if self.monitor not in trainer.callback_metrics:
                return False  # not measured after this validation
            value = float(trainer.callback_metrics[self.monitor])
        is_good = self.collapse is None or not self.collapse.is_suspected
        if is_good != self.has_good:
            is_best = is_good
        elif value is None or self.best is None:
            is_best = True
        else:
            is_best = value < self.best if self.mode == "min" else value > self.best
        if is_best:
            self.best, self.has_good = value, is_good
        return is_best

    def _leave_if_asked(self, trainer: Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(self.stop.requested is not None, all=False):
            self.stop.leave()

    def _save(self, trainer: Trainer, model: GenerativeModule) -> None:
        self.finite.check_state(trainer, model)
        last = self.folder / "last.ckpt"
        if trainer.is_global_zero and last.exists():
            replace_with_copy(last, self.folder / "previous.ckpt")
        trainer.save_checkpoint(last)
        self.stop.save, self._saved = False, model.steps
        self._due = time.monotonic() + self.every


def replace_with_copy(source: Path, target: Path) -> None:
    """Make ``target`` a copy of ``source`` in one step: a hard link, or bytes where the file system has no links."""
    temporary = target.with_name(target.name + ".tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
