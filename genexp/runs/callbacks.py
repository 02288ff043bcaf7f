"""The callbacks of every run, in the order in which they act."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from genexp.callbacks.checkpoints import Checkpoints
from genexp.callbacks.clock import Clock
from genexp.callbacks.collapse import Collapse
from genexp.callbacks.curves import Curves
from genexp.callbacks.ema import EMA
from genexp.callbacks.finite import Finite
from genexp.callbacks.history import History
from genexp.callbacks.measure import Monitors
from genexp.callbacks.progress import RunProgress
from genexp.callbacks.pruning import Pruning
from genexp.callbacks.samples import SampleGrid
from genexp.callbacks.stop import Stop
from genexp.callbacks.untrained import Untrained
from genexp.families.base import GenerativeModule
from genexp.record.folder import RunFolder
from genexp.runs import settings
from genexp.runs.monitoring import Monitoring
from genexp.runs.train_config import Training, planned_images
from genexp.runs.user_callbacks import PlainStates, check_states


def make_callbacks(
    training: Training,
    model: GenerativeModule,
    monitoring: Monitoring,
    folder: RunFolder,
    grid: SampleGrid | None,
    curves: settings.Curves | None,
    progress: settings.Progress | None,
    users: dict[str, Callback],
    stop: Stop,
    console: Console,
    *,
    seed: int,
    epoch_images: int | None,
    monitor_every_images: int,
    trial: Mapping[str, Any] | None,
) -> tuple[list[Callback], Checkpoints, History]:
    """All of them; the last, which writes what the others know; and the history.

    Args:
        training: settings.
        model: to be trained, with the batches of its steps known.
        monitoring: what validations measure.
        folder: of the run.
        grid: draws samples; None for none.
        curves: when curves are drawn; None for never.
        progress: how often progress is told; None for never.
        users: the callbacks of the config, by name.
        stop: tells that the run is asked to end.
        console: for progress.
        seed: of the run.
        epoch_images: examples of an epoch; None if not known.
        monitor_every_images: between two measurements of the monitors.
        trial: of a study that looks at validation values: ``storage``, ``study``, ``number``, ``metric``, ``allow_targets``; None
            of none.
    """
    total = planned_images(vars(training), model.batches_per_step, epoch_images)
    collapse = Collapse(**training.collapse) if training.collapse is not None else None
    mode = monitoring.directions.get(training.monitor, "min")
    averaging = training.ema_decay, training.ema_half_life_images
    average = EMA(*averaging) if averaging != (None, None) else None
    finite = Finite(average)
    callbacks: list[Callback] = [Clock(seed, training.max_images, training.max_steps, training.max_epochs)]
    if monitoring.names:
        callbacks.append(Monitors(monitoring.measure, monitoring.names, monitor_every_images))
    history = History(folder.history, training.log_every_steps, finite, collapse and collapse.look)
    if users:  # they see what was measured, and what they do is looked at, averaged and saved in the same step
        callbacks += [*users.values(), PlainStates(users)]
    callbacks += [finite, history]
    if progress is not None:
        callbacks.append(RunProgress(console, folder.path.name[:40], total, progress.every_seconds))
    if grid is not None:
        callbacks.append(grid)
    if curves is not None:
        callbacks.append(Curves(folder, curves.every_images))
    if collapse is not None:
        callbacks.append(collapse)
    if training.patience is not None:
        callbacks.append(
            EarlyStopping(
                training.monitor,
                patience=training.patience,
                mode=mode,
                strict=False,  # a validation without the value does not count
                check_on_train_epoch_end=False,  # but before the checkpoint, which keeps the count
            )
        )
    if not model.players:
        callbacks.append(Untrained(seed, partial(tell, folder, console)))
    if average is not None:
        callbacks.append(average)
    if trial is not None:
        from genexp.runs.optuna_trial import open_trial  # needs Optuna

        opened, reported = (None, set()) if rank_zero_only.rank else open_trial(trial)
        callbacks.append(Pruning(opened, trial["metric"], reported))
    checkpoints = Checkpoints(
        folder.checkpoints,
        training.monitor,
        mode,
        collapse,
        training.checkpoint_every_minutes,
        finite,
        stop,
        training.end,
    )
    check_states([callback for callback in (*callbacks, checkpoints) if callback not in users.values()], users)
    return [*callbacks, checkpoints], checkpoints, history


def tell(folder: RunFolder, console: Console, line: str | None) -> None:
    """Show a line, and keep it as ``warning`` in ``status.json``; None takes it back."""
    if line is not None:
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
    folder.set_status("running", warning=line)
