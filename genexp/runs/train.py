"""Train: from a composed config to a run folder with checkpoints, metrics and samples."""

import logging
import shlex
import sys
import time
import traceback
import warnings
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from genexp.callbacks.pruning import Pruned
from genexp.callbacks.samples import SampleGrid
from genexp.callbacks.stop import Interrupted, Stop
from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.metrics.sampling_bar import sampling_bar
from genexp.networks.autoregressive.base import AutoregressiveNetwork
from genexp.probability.randomness import key
from genexp.record.errors import SPLITS, ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.record.provenance import now
from genexp.reports.tables import changed_settings, metrics_table, verdict
from genexp.runs import trainer as scale
from genexp.runs.evaluate import choose_metrics, compute
from genexp.runs.fit import LIMITS, fit, reports_to_trial
from genexp.runs.loading import about_checkpoint, device_of, load_model
from genexp.runs.monitoring import Monitoring
from genexp.runs.resume import check_same, last_good
from genexp.runs.slurm import is_restarted, requeue
from genexp.tracking import wandb_logger as tracking


def train(
    config: DictConfig,
    folder: RunFolder,
    overrides: list[str],
    choices: dict[str, str],
    console: Console,
) -> None:
    """The verb: check everything, train, evaluate the best checkpoint, report.

    With ``config.resume``, and in a Slurm job that was requeued, a run that the folder holds continues from its last good
    checkpoint; one that is done is left alone.

    Args:
        config: the composed config.
        folder: where the run goes.
        overrides: the overrides it was composed with.
        choices: the option of every config group.
        console: where to write.

    Raises:
        ConfigError: the config is wrong, or the folder is not free; nothing was changed.
        Interrupted: a signal ended the run; a checkpoint was saved.
        Exception: whatever ended the run; ``status.json`` says so.
    """
    if rank_zero_only.rank:  # a further process of a distributed run: the first one keeps the record
        quiet = Console(quiet=True)
        model, data, _, monitoring = prepare(config, quiet)
        with Stop() as stop:
            fit(config, model, data, monitoring, folder, [], quiet, stop, last_good(folder, quiet))
        return
    with Stop() as stop, folder.lock():
        if folder.holds_run():
            state = folder.status().get("state", "unknown")
            if not (config.resume or is_restarted()):
                raise ConfigError(
                    f"name={config.name}: {folder.path} already holds a run ({state}); choose another name, or resume=true"
                )
            check_same(folder.config(), config, str(folder.path))
            if state == "done" and _same_end(folder.config(), config):
                console.print(f"[bold]{folder.path}[/bold] is done", highlight=False, soft_wrap=True)
                return
        try:
            _train(config, folder, overrides, choices, console, stop)
        except Interrupted as interrupted:
            requeue(interrupted.signum, stop, console)
            raise


def _train(
    config: DictConfig,
    folder: RunFolder,
    overrides: list[str],
    choices: dict[str, str],
    console: Console,
    stop: Stop,
) -> None:
    model, data, metrics, monitoring = prepare(config, console)
    before = folder.status() if folder.holds_run() else {}
    resumed = last_good(folder, console) if before else None
    entries: dict[str, Any] = {"data_checksums": {split: data.fingerprint(split) for split in SPLITS}}
    entries["selection"] = monitoring.selection(config.training.monitor)
    if before:
        if entries["data_checksums"] != before.get("data_checksums"):
            raise ConfigError(f"data={data.name}: not the data that the run in {folder.path} was trained on")
        images = resumed[1]["images_seen"] if resumed else 0
        again = {"time": now(), "from_images": images, "command": shlex.join(sys.argv)}
        entries |= {"started": before["started"], "command": before["command"], "error": None, "trace": None}
        entries["resumed"] = [*before.get("resumed", []), again]
        where = resumed[0] if resumed else "there is no checkpoint yet"
        console.print(f"  continues from {images:,} images ({where})", highlight=False, soft_wrap=True)
    folder.begin(config, overrides, choices, **entries)
    loggers: list[Any] = []
    failed = True
    minutes = before.get("minutes", 0.0)
    try:
        loggers += tracking.make_loggers(config, folder, console)
        tracking.watch(config, loggers, model)
        console.print(f"[bold]{folder.path}[/bold]  {_describe(model, data)}", highlight=False, soft_wrap=True)
        started = time.monotonic()
        try:
            trainer = fit(config, model, data, monitoring, folder, loggers, console, stop, resumed)
        finally:
            minutes += (time.monotonic() - started) / 60
            folder.set_status("running", minutes=round(minutes, 3))
        records = finish(config, data, metrics, folder, trainer, console)
        console.print(metrics_table(records, title=f"{folder.path}: {minutes:.1f} min"))
        folder.set_status("done", verdict=judge(config, records, overrides, console))
        failed = False
    except Interrupted as interrupted:
        folder.set_status("interrupted", error=str(interrupted))
        console.print(f"{interrupted}; to continue: genexp train run={folder.path}", highlight=False, soft_wrap=True)
        raise
    except Pruned as pruned:
        folder.set_status("pruned", reason=pruned.reason)
        console.print(f"[bold]{folder.path}[/bold] pruned: {pruned.reason}", highlight=False, soft_wrap=True)
        failed = False
    except Exception as error:
        folder.set_status("failed", error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        raise
    finally:
        tracking.finish(loggers, folder, failed, console)


def _same_end(stored: DictConfig, new: DictConfig) -> bool:
    return all(stored.training[key] == new.training[key] for key in LIMITS)


def prepare(config: DictConfig, console: Console) -> tuple[GenerativeModule, Any, dict[str, Metric], Monitoring]:
    """Build everything and try one batch, so that whatever is wrong is found before training.

    Raises:
        ConfigError: naming what is wrong.
    """
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
    warnings.filterwarnings("ignore", "The `srun` command is available")  # one process on a cluster is a choice
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    extra = list(config.allow_targets)
    device_of(config.trainer.accelerator)
    data = instantiate(config, "data", extra)
    seed_everything(key(config.seed, "initialisation") % 2**32, verbose=False)
    model = instantiate(config, "model", extra)
    scale.check(config, model, console)
    try:
        data.prepare_data()
        data.setup()
        x, y = next(iter(data.loader("validation", 2)))
        with model.evaluating(), torch.no_grad():
            losses = [f"val/{name}" for name in model.loss(x, y)]
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"data={config.data.name}: {' '.join(str(error).split())}") from error
    metrics = choose_metrics(config, model, data, extra, console)
    monitoring = Monitoring(config, model, data, losses, console)
    names = list(monitoring.directions)
    watched = {"training.monitor": config.training.monitor}
    if reports_to_trial(config):
        watched["hydra.sweeper.metric"] = config.trial.metric
    for name, metric in watched.items():
        if metric is not None and metric not in names:
            raise ConfigError(f"{name}={metric}: must be one of {', '.join(names)}.{nearest(metric, names)}")
        if metric is not None and monitoring.directions[metric] is None:
            raise ConfigError(f"{name}={metric}: neither small nor large values of it are the better ones")
    return model, data, metrics, monitoring


def finish(
    config: DictConfig,
    data: Any,
    metrics: dict[str, Metric],
    folder: RunFolder,
    trainer: Trainer,
    console: Console,
) -> list[dict[str, Any]]:
    """Evaluate the best checkpoint and draw its final samples."""
    model = load_model(folder, config, "best", list(config.allow_targets)).to(trainer.strategy.root_device)
    grid = SampleGrid(folder.samples, config.samples.n, config.samples.every_images, config.seed)
    with sampling_bar(model, console):
        grid.draw(trainer, model, "final")
        grid.draw_traversals(trainer, model, "final")
    about = about_checkpoint(model, config, folder, "best")
    records = compute(model, data, metrics, config.evaluation.split, config.seed, about, console)
    folder.add_metrics(records)
    return records


def _describe(model: GenerativeModule, data: Any) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    sizes = "/".join(f"{data.size(split):,}" for split in ("train", "validation", "test"))
    networks = [module for module in model.modules() if isinstance(module, AutoregressiveNetwork)]
    fields = "".join(f"receptive field of {n.receptive_field:,}, " for n in networks if n.receptive_field)
    return f"{type(model).__name__}, {parameters:,} parameters, {fields}{data.name} ({sizes})"


def judge(config: DictConfig, records: list[dict[str, Any]], overrides: list[str], console: Console) -> str | None:
    """Print published against reproduced; the verdict, or None if the config publishes no number or it was not computed."""
    values = [r["value"] for r in records if config.published is not None and r["key"] == config.published.metric]
    if not values:
        return None
    published = OmegaConf.to_container(config.published, resolve=True)
    word, line = verdict(published, values[0], changed_settings(overrides))
    text = f"[bold]{word}[/bold]  {published['paper']}, {published['table']}: {line}"
    console.print(text, highlight=False, soft_wrap=True)
    return word
