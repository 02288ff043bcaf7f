"""What a run is doing, for a person: a live bar in a terminal, a line now and then elsewhere."""

import time
from typing import Any

from pytorch_lightning import Callback, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from genexp.families.base import GenerativeModule
from genexp.terminal import harmless


class RunProgress(Callback):
    """Images seen of those planned, speed, training loss and the latest validation metric.

    Args:
        console: where to write.
        label: name of the run.
        total_images: images until the end; None if it is not known.
        every_seconds: seconds between two lines where there is no terminal.
    """

    def __init__(self, console: Console, label: str, total_images: int | None, every_seconds: float) -> None:
        self.console, self.label, self.total, self.every = console, harmless(label), total_images, every_seconds
        self._bar: Progress | None = None
        self._next = self._begun = 0.0
        self._first = 0
        self._validation = ""

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        self._begun, self._first = time.monotonic(), pl_module.images_seen
        self._next = self._begun + self.every
        if trainer.is_global_zero and self.console.is_terminal:
            columns = [TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[text]}")]
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self.console)
            self._task = self._bar.add_task(self.label, total=self.total, text="")
            self._bar.start()
            self._next = self._begun

    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, outputs: Any, *_: Any) -> None:
        now = time.monotonic()
        if now < self._next or not trainer.is_global_zero or not outputs:
            return
        seen = pl_module.images_seen
        speed = (seen - self._first) / max(now - self._begun, 1e-9)
        planned = f"/{self.total:,}" if self.total else ""
        text = f"{seen:,}{planned} images, {speed:,.0f}/s, loss {float(outputs['loss']):.4g}{self._validation}"
        if self._bar is not None:
            self._bar.update(self._task, completed=seen, text=text)
            self._next = now + 0.2
        else:
            left = f", {(self.total - seen) / speed:,.0f} s left" if self.total and speed else ""
            self.console.print(f"  {self.label}: {text}{left}", highlight=False, soft_wrap=True)
            self._next = now + self.every

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        self._validation = "" if loss is None else f", val/loss {float(loss):.4g}"

    def teardown(self, trainer: Trainer, pl_module: GenerativeModule, stage: str) -> None:
        self._end()

    def on_exception(self, trainer: Trainer, pl_module: GenerativeModule, exception: BaseException) -> None:
        self._end()  # teardown is not called then

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
