"""The training of a run: Lightning's trainer with the callbacks of every run."""

from typing import Any

from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from genexp.callbacks.checkpoints import Checkpoints
from genexp.callbacks.clock import Clock
from genexp.callbacks.collapse import Collapse, TrainingCollapsed
from genexp.callbacks.curves import Curves
from genexp.callbacks.ema import EMA
from genexp.callbacks.history import History, TrainingDiverged
from genexp.callbacks.measure import Monitors
from genexp.callbacks.progress import RunProgress
from genexp.callbacks.pruning import Pruning
from genexp.callbacks.samples import SampleGrid
from genexp.callbacks.stop import Stop
from genexp.families.base import GenerativeModule
from genexp.record.folder import RunFolder
from genexp.runs import first_stage
from genexp.runs import trainer as scale
from genexp.runs.monitoring import Monitoring
from genexp.runs.resume import batches_done
from genexp.runs.train_config import planned_images

LIMITS = ("max_images", "max_steps", "max_epochs", "patience")
"""Entries of ``training`` that say when it ends."""


def fit(
    config: DictConfig,
    model: GenerativeModule,
    data: Any,
    monitoring: Monitoring,
    folder: RunFolder,
    loggers: list[Any],
    console: Console,
    stop: Stop,
    resumed: tuple[str, dict[str, Any]] | None,
) -> Trainer:
    """Run Lightning's trainer with the callbacks of every run.

    Args:
        monitoring: what validations measure.
        resumed: the checkpoint to continue from and its content, or None.

    Raises:
        TrainingDiverged, TrainingCollapsed: training cannot go on; says where the last good checkpoint is.
    """
    training = config.training
    if resumed is None:
        first_stage.adopt(config, model)
    scale.apply(config, model)
    collapse = Collapse(**training.collapse) if training.get("collapse") is not None else None
    end = [training[key] for key in LIMITS]
    mode = monitoring.directions.get(training.monitor, "min")
    checkpoints = Checkpoints(
        folder.checkpoints, training.monitor, mode, collapse, training.checkpoint_every_minutes, stop, end
    )
    trainer = scale.make_trainer(
        config,
        model,
        max_epochs=-1,  # the clock stops it
        check_val_every_n_epoch=training.validate_every_epochs,
        log_every_n_steps=training.log_every_steps,
        callbacks=[*make_callbacks(config, model, data, monitoring, folder, console, collapse), checkpoints],
        logger=loggers,
        default_root_dir=str(folder.path),
    )
    path = None
    if resumed is not None:
        path, state = resumed
        if state["callbacks"]["Checkpoints"]["is_end"] == [training[key] for key in LIMITS]:
            trainer.datamodule = data  # for the samples
            return trainer
        data.skip(*batches_done(state))
    try:
        with stop.deferred():
            trainer.fit(model, datamodule=data, ckpt_path=path, weights_only=True)
    except (TrainingDiverged, TrainingCollapsed) as error:
        raise type(error)(f"{error}; {checkpoints.last_good()}") from error
    return trainer


def reports_to_trial(config: DictConfig) -> bool:
    """Whether the run is a trial of a study that looks at a validation metric."""
    return config.get("trial") is not None and config.trial.metric.startswith("val/")


def make_callbacks(
    config: DictConfig,
    model: GenerativeModule,
    data: Any,
    monitoring: Monitoring,
    folder: RunFolder,
    console: Console,
    collapse: Collapse | None,
) -> list[Callback]:
    """The callbacks of every run but the one that writes checkpoints after them, in the order in which they act."""
    training = config.training
    total = planned_images(training, model.batches_per_step, data.size("train"))
    callbacks: list[Callback] = [Clock(config.seed, training.max_images, training.max_steps, training.max_epochs)]
    if monitoring.names:
        callbacks.append(Monitors(monitoring.measure, monitoring.names, config.evaluation.monitor_every_images))
    callbacks += [
        History(folder.history, training.log_every_steps, collapse and collapse.look),
        RunProgress(console, folder.path.name[:40], total, every_seconds=10),
        SampleGrid(folder.samples, config.samples.n, config.samples.every_images, config.seed),
        Curves(folder.history, folder.path / "curves.png"),
    ]
    if collapse is not None:
        callbacks.append(collapse)
    if training.patience is not None:
        callbacks.append(
            EarlyStopping(
                training.monitor,
                patience=training.patience,
                mode=monitoring.directions[training.monitor],
                strict=False,  # a validation without the value does not count
                check_on_train_epoch_end=False,  # but before the checkpoint, which keeps the count
            )
        )
    averaging = training.ema_decay, training.get("ema_half_life_images")
    if averaging != (None, None):
        callbacks.append(EMA(*averaging))
    if reports_to_trial(config):
        from genexp.runs.optuna_trial import open_trial  # needs Optuna

        trial, reported = (None, set()) if rank_zero_only.rank else open_trial(config.trial)
        callbacks.append(Pruning(trial, config.trial.metric, reported))
    return callbacks
