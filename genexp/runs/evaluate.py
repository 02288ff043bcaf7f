"""Evaluate: metrics by capability."""

import os
from importlib.resources import files
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric, Value
from genexp.record.errors import SPLITS, ConfigError, check_choice
from genexp.record.folder import RunFolder
from genexp.record.instantiate import check_targets, instantiate
from genexp.reports.tables import metrics_table
from genexp.runs.loading import about_checkpoint, device_of, load_model
from genexp.tracking.wandb_logger import add_evaluation


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
