"""Evaluate: metrics by capability, and ``genexp.load``."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric, Value
from genexp.runs import checkpoint as checkpoints
from genexp.runs.config import SPLITS, ConfigError, check_choice, check_targets, instantiate, nearest
from genexp.runs.folder import RunFolder
from genexp.runs.report import metrics_table
from genexp.runs.tracking import add_evaluation


def choose_metrics(
    config: DictConfig,
    model: GenerativeModule,
    data: Any,
    extra: list[str],
    console: Console,
    group: str = "metrics",
) -> dict[str, Metric]:
    """The metrics of ``config.<group>`` that fit, ready to compute.

    Raises:
        ConfigError: one does not fit and ``<group>.unfit`` is not ``skip``; names those that do fit. Or what it needs
            from outside is missing.
    """
    names = [name for name in config[group] if name != "unfit"]
    metrics: dict[str, Metric] = {}
    refusals: dict[str, str] = {}
    for name in names:
        metric = instantiate(config, f"{group}.{name}", extra)
        refusal = metric.refusal(model, data)
        if refusal is None:
            metrics[name] = metric
        else:
            refusals[name] = refusal
    if refusals and config[group].get("unfit") != "skip":
        name, reason = next(iter(refusals.items()))
        raise ConfigError(
            f"{group}={name}: {reason}; metrics that fit: {', '.join(fitting(config, model, data, extra)) or 'none'}"
        )
    for name, reason in refusals.items():
        console.print(f"  metric {name} skipped: {reason}", style="dim", highlight=False, soft_wrap=True)
    for name, metric in metrics.items():
        try:
            metric.prepare()
        except (FileNotFoundError, ValueError) as error:
            raise ConfigError(f"{group}.{name}: {error}") from error
    return metrics


def fitting(config: DictConfig, model: GenerativeModule, data: Any, extra: list[str]) -> list[str]:
    """Names of the shipped metrics that can be computed on this model and these data."""
    names = []
    for path in sorted((files("genexp.conf") / "metrics").iterdir(), key=str):
        shipped = OmegaConf.create(path.read_text())
        for name in shipped:
            if OmegaConf.is_dict(shipped[name]) and "_target_" in shipped[name]:
                metric = instantiate(OmegaConf.create({"metrics": shipped}), f"metrics.{name}", extra)
                if metric.refusal(model, data) is None:
                    names.append(str(name))
    return names


def compute(
    model: GenerativeModule,
    data: Any,
    metrics: dict[str, Metric],
    split: str,
    seed: int,
    about: dict[str, Any],
    console: Console,
) -> list[dict[str, Any]]:
    """All values with their records.

    Args:
        model: on the device to use.
        data: its data module.
        metrics: by name, as from :func:`choose_metrics`.
        split: the split to evaluate.
        seed: keys all draws.
        about: further entries of every record (checkpoint, how it was selected, EMA, images seen).
        console: for progress.
    """
    data.prepare_data()
    data.setup()
    values: list[Value] = []
    with model.evaluating():
        for name, metric in metrics.items():
            console.print(
                f"  evaluating {name} on {data.name}/{split} ...",
                style="dim",
                highlight=False,
                soft_wrap=True,
            )
            values += metric.compute(model, data, split, seed)
    return [{**value.record(), "seed": seed, **about} for value in values]


def load(run: str | Path, checkpoint: str = "best", allow_targets: tuple[str, ...] = ()) -> GenerativeModule:
    """The trained model of a run folder, in evaluation mode on the CPU; weights only, no pickle is executed. A run with an
    exponential moving average of its weights gives the average.

    Args:
        run: a run folder.
        checkpoint: ``best`` or ``last``.
        allow_targets: modules outside genexp and torch whose classes the run's config may name.

    Raises:
        ConfigError: the folder holds no run or no such checkpoint, or its config names a module that is not allowed.
        CorruptCheckpoint: the file is damaged.
    """
    folder = RunFolder.existing(run)
    return load_model(folder, folder.config(), checkpoint, list(allow_targets))


def load_model(folder: RunFolder, config: DictConfig, checkpoint: str, extra: list[str]) -> GenerativeModule:
    """As :func:`load`, with the config at hand."""
    path = folder.checkpoints / f"{checkpoint}.ckpt"
    if not path.is_file():
        there = [p.stem for p in sorted(folder.checkpoints.glob("*.ckpt"))]
        raise ConfigError(
            f"checkpoint={checkpoint}: {path} does not exist; there is {', '.join(there) or 'none'}.{nearest(checkpoint, there)}"
        )
    state = checkpoints.load(path)
    model = instantiate(config, "model", extra)
    model.load_state_dict(state.get("ema", state["state_dict"]))
    model.on_load_checkpoint(state)
    return model.eval()


def device_of(accelerator: str) -> torch.device:
    """The device that ``trainer.accelerator`` stands for.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not gpu:
        raise ConfigError(f"trainer.accelerator={accelerator}: no GPU is available; use cpu or auto")
    return torch.device("cuda" if gpu else "cpu")


def about_checkpoint(model: GenerativeModule, config: DictConfig, folder: RunFolder, checkpoint: str) -> dict[str, Any]:
    """What the record of a value says of the weights it was computed with."""
    selection, half_life = "last", config.training.get("ema_half_life_images")
    if checkpoint == "best" and config.training.monitor:
        selection = folder.status().get("selection", f"smallest {config.training.monitor}")  # of earlier versions
    return {
        "checkpoint": checkpoint,
        "selection": selection,
        "ema": f"half-life of {half_life} images" if half_life else config.training.get("ema_decay") or False,
        "images_seen": model.images_seen,
        "train_seed": config.seed,
    }


def evaluate(config: DictConfig, console: Console) -> None:
    """The verb: compute metrics of one or several runs and add them to their ``metrics.json``."""
    runs = [config.run] if isinstance(config.run, str) else list(config.run)
    extra = list(config.allow_targets)
    check_targets(config, extra)
    check_choice("split", config.split, SPLITS)
    for run in runs:
        folder = RunFolder.existing(run)
        trained = folder.config()
        check_targets(trained, extra)
        model = load_model(folder, trained, config.checkpoint, extra).to(device_of(config.trainer.accelerator))
        data = instantiate(trained, "data", extra)
        metrics = choose_metrics(config, model, data, extra, console)
        about = about_checkpoint(model, trained, folder, config.checkpoint)
        records = compute(model, data, metrics, config.split, config.seed, about, console)
        folder.add_metrics(records)
        if config.wandb:
            add_evaluation(trained, folder, console)
        console.print(metrics_table(records, title=os.path.relpath(folder.path)))
