"""The training of a run: Lightning's trainer, from the beginning or from a checkpoint."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import PassThroughProfiler

from genexp.callbacks.collapse import TrainingCollapsed
from genexp.callbacks.finite import TrainingDiverged
from genexp.callbacks.stop import Stop
from genexp.record.errors import ConfigError
from genexp.record.provenance import write_atomically
from genexp.runs.assemble import Assembled
from genexp.runs.resume import batches_done, is_over


class FirstCause(Callback):
    """Keeps what ended the training, which another callback that fails while it cleans up must not hide. Stands before all
    others."""

    def __init__(self) -> None:
        self.exception: BaseException | None = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.exception = exception


class Profile(Callback):
    """Writes what the trainer's profiler found when training ends; a profiler that has a file of its own writes there.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        profiler = trainer.profiler
        if trainer.is_global_zero and not isinstance(profiler, PassThroughProfiler) and profiler.filename is None:
            write_atomically(self.path, profiler.summary())


def fit(run: Assembled, loggers: list[Any], stop: Stop, resumed: tuple[str, dict[str, Any]] | None) -> None:
    """Train until the first of the limits; not at all where one is already reached.

    Args:
        run: its parts.
        loggers: of the run.
        stop: tells that the run is asked to end.
        resumed: the checkpoint to continue from and its content, or None.

    Raises:
        TrainingDiverged, TrainingCollapsed: training cannot go on; says where the last good checkpoint is.
        ConfigError: a callback of the config ended it before it began.
    """
    trainer, path = run.trainer, None
    trainer.loggers = [*loggers, *run.loggers]
    trainer.datamodule = run.data  # for the samples, also where other processes train or nothing is left to train
    if resumed is not None:
        path, state = resumed
        if is_over(state, run.training):
            run.checkpoints.keep_best()
            return
        run.data.skip(*batches_done(state))
    cause = FirstCause()
    trainer.callbacks.insert(0, cause)
    trainer.callbacks.append(Profile(Path(trainer.default_root_dir) / "profile.txt"))
    try:
        with stop.deferred():
            trainer.fit(run.model, datamodule=run.data, ckpt_path=path, weights_only=True)
        if not run.checkpoints.has_any():  # the model itself may have been trained in other processes
            raise ConfigError("callbacks: training was stopped before its first step")
    except BaseException as error:
        first = cause.exception or error
        if first is not error:
            first.add_note(f"and then {type(error).__name__}: {error}")
        if isinstance(first, TrainingDiverged):
            raise TrainingDiverged(f"{first}; {run.checkpoints.newest()}") from first
        if isinstance(first, TrainingCollapsed):
            raise TrainingCollapsed(f"{first}; {run.checkpoints.last_good()}") from first
        if first is error:
            raise
        raise first from None
