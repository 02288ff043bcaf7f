"""From a composed config to the objects of a run, each built once; what comes after sees no config."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from genexp.callbacks.checkpoints import Checkpoints
from genexp.callbacks.history_logger import HistoryLogger
from genexp.callbacks.samples import SampleGrid
from genexp.callbacks.stop import Stop
from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.probability.randomness import key
from genexp.record.errors import ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.runs import trainer as trainers
from genexp.runs.callbacks import make_callbacks
from genexp.runs.choose_metrics import choose_metrics
from genexp.runs.debug import debug_of, epoch_images, limits, take_few
from genexp.runs.devices import device_of
from genexp.runs.monitoring import Monitoring
from genexp.runs.optimizers import check_optimizers
from genexp.runs.settings import OPTIONAL, section
from genexp.runs.train_config import Training, planned_images
from genexp.runs.user_callbacks import make_user_callbacks


@dataclass
class Assembled:
    """What a run is made of.

    Attributes:
        data: set up.
        model: with its initial weights.
        metrics: of the evaluation, by name.
        monitoring: what validations measure.
        trainer: with the callbacks, and without loggers.
        checkpoints: of the callbacks, the one that writes them.
        grid: of the callbacks, the one that draws samples; None where none are drawn.
        loggers: that the callbacks of the config need, beside those of the run.
        training: settings.
    """

    data: Any
    model: GenerativeModule
    metrics: dict[str, Metric]
    monitoring: Monitoring
    trainer: Trainer
    checkpoints: Checkpoints
    grid: SampleGrid | None
    loggers: list[Logger]
    training: Training


def assemble(config: DictConfig, folder: RunFolder, stop: Stop, console: Console) -> Assembled:
    """Build everything and try one batch, so that whatever is wrong is found before training. Nothing is written.

    Args:
        config: composed, and checked by :func:`genexp.runs.train_config.check`.
        folder: where the run goes.
        stop: tells that the run is asked to end.
        console: where to write.

    Raises:
        ConfigError: naming what is wrong.
    """
    _quiet()
    extra, training = list(config.allow_targets), Training.of(config)
    settings = OmegaConf.to_container(config.trainer, resolve=True)
    device_of(settings["accelerator"])
    data = instantiate(config, "data", extra)
    seed_everything(key(config.seed, "initialisation") % 2**32, verbose=False)
    model = instantiate(config, "model", extra)
    trainers.check_settings(settings, training, model)
    check_optimizers(model)
    debug = debug_of(config)
    trainer = make_trainer(config, training, model, str(folder.path), **limits(debug))
    take_few(debug, data, trainer.world_size)
    trainers.check_trainer(trainer, settings, training, model, console)
    losses = _try_batch(config, model, data)
    for note in data.notes:
        console.print(f"  {note}", style="dim", soft_wrap=True)
    trainers.tell_of_stand_in(trainer, model, data.size("train"), training.batch_size, console)
    metrics = choose_metrics(config, model, data, extra, console)
    monitors = choose_metrics(config, model, data, extra, console, "monitors") if config.get("monitors") else {}
    monitoring = Monitoring(monitors, model, data, losses, config.seed, trainer.strategy.root_device)
    trial = OmegaConf.to_container(config.trial, resolve=True) if config.trial is not None else None
    if trial is not None:
        trial["allow_targets"] = extra
        if not trial["metric"].startswith("val/"):  # nothing that a validation measures
            trial = None
    _check_watched(training, trial, monitoring)
    trainers.apply(training, model)
    sections = {name: _section(config, name, make) for name, make in OPTIONAL.items()}
    samples = sections.pop("samples")
    planned = planned_images(vars(training), model.batches_per_step, epoch_images(debug, data, trainer.world_size))
    grid = SampleGrid(folder, **asdict(samples), planned=planned, seed=config.seed) if samples is not None else None
    users = make_user_callbacks(config, folder, trainer.strategy.root_device)
    callbacks, checkpoints, history = make_callbacks(
        training,
        model,
        monitoring,
        folder,
        grid,
        **sections,
        users=users,
        stop=stop,
        console=console,
        seed=config.seed,
        epoch_images=epoch_images(debug, data, trainer.world_size),
        monitor_every_images=config.evaluation.monitor_every_images,
        trial=trial,
    )
    trainer.callbacks.extend(callbacks)
    loggers = [HistoryLogger(history.add, folder.path)] if users else []
    return Assembled(data, model, metrics, monitoring, trainer, checkpoints, grid, loggers, training)


def _section(config: DictConfig, name: str, make: Callable[..., Any]) -> Any:
    """A section that may be switched off, which is None then; runs of earlier versions have not all of them."""
    given = OmegaConf.to_container(config, resolve=True).get(name, {})
    return None if given is None else section(make, given, name)


def make_trainer(
    config: DictConfig, training: Training, model: GenerativeModule, folder: str, **arguments: Any
) -> Trainer:
    """Lightning's trainer as ``config.trainer`` describes it, with what this model needs of it.

    Args:
        config: composed.
        training: settings.
        model: that it will train.
        folder: where Lightning may write.
        arguments: of the trainer, beside those.

    Raises:
        ConfigError: the settings do not go together.
    """
    settings = OmegaConf.to_container(config.trainer, resolve=True)
    arguments = trainers.trainer_arguments(settings, training, model) | arguments
    return instantiate(config, "trainer", list(config.allow_targets), default_root_dir=folder, **arguments)


def _quiet() -> None:
    """Lightning tells of its own affairs elsewhere."""
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", "The `srun` command is available")  # one process on a cluster is a choice
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _try_batch(config: DictConfig, model: GenerativeModule, data: Any) -> list[str]:
    """Names ``val/...`` of what the model's loss gives on a batch; the examples of all splits were looked at before."""
    try:
        data.prepare_data()
        data.setup()
        if not rank_zero_only.rank:  # the other processes would find the same
            data.inspect()
        x, y = next(iter(data.loader("validation", 2)))
        with model.evaluating(), torch.no_grad():
            return [f"val/{name}" for name in model.loss(x, y)]
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"data={config.data.name}: {' '.join(str(error).split())}") from error


def _check_watched(training: Training, trial: dict[str, Any] | None, monitoring: Monitoring) -> None:
    """Refuse to watch what no validation measures, or what is neither good nor bad."""
    names = list(monitoring.directions)
    watched = {"training.monitor": training.monitor}
    if trial is not None:
        watched["hydra.sweeper.metric"] = trial["metric"]
    for name, metric in watched.items():
        if metric is not None and metric not in names:
            raise ConfigError(f"{name}={metric}: must be one of {', '.join(names)}.{nearest(metric, names)}")
        if metric is not None and monitoring.directions[metric] is None:
            raise ConfigError(f"{name}={metric}: neither small nor large values of it are the better ones")
