"""Evaluate: metrics by capability."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.record.errors import SPLITS, ConfigError, check_choice
from genexp.record.folder import RunFolder
from genexp.record.instantiate import check_targets, instantiate
from genexp.record.values import Value
from genexp.reports.tables import metrics_table
from genexp.runs.choose_metrics import choose_metrics
from genexp.runs.devices import device_of_run
from genexp.runs.loading import about_checkpoint, load_model
from genexp.runs.progress_bars import shown
from genexp.runs.recorded_data import find_data, set_up, tell_changed
from genexp.runs.train_config import logging_of
from genexp.tracking.loggers import add_evaluation


def compute(
    model: GenerativeModule, data: Any, metrics: Mapping[str, Metric], split: str, seed: int, console: Console
) -> list[Value]:
    """All values.

    Args:
        model: on the device to use.
        data: its data module.
        metrics: by name, as from :func:`genexp.runs.choose_metrics.choose_metrics`.
        split: the split to evaluate.
        seed: keys all draws.
        console: for progress.
    """
    data.prepare_data()
    data.setup()
    values: list[Value] = []
    with model.evaluating(), shown(model, console):
        for name, metric in metrics.items():
            model.context.note(f"evaluating {name} on {data.name}/{split} ...")
            values += metric.compute(model, data, split, seed)
    return values


def records(values: Sequence[Value], seed: int, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Values as ``metrics.json`` has them.

    Args:
        values: of one evaluation.
        seed: of its draws.
        about: what all have in common: checkpoint, how it was selected, EMA, images seen.
    """
    return [{**value.record(), "seed": seed, **about} for value in values]


def evaluate(config: DictConfig, console: Console) -> None:
    """The verb: compute metrics of one or several runs and add them to their ``metrics.json``.

    Raises:
        ConfigError: there is no such run, a metric does not fit, or the data are not there or cannot be used.
    """
    runs = [config.run] if isinstance(config.run, str) else list(config.run)
    extra = list(config.allow_targets)
    check_targets(config, extra)
    check_choice("split", config.split, SPLITS)
    for run in runs:
        folder = RunFolder.existing(run)
        trained = folder.config()
        folder.recorded()  # refused before the work, if it is damaged
        check_targets(trained, extra)
        find_data(trained, folder, config.data.root, console)
        model = load_model(folder, trained, config.checkpoint, extra).to(
            device_of_run(config.trainer.accelerator, trained, console)
        )
        data = instantiate(trained, "data", extra)
        set_up(data)
        tell_changed(data, config.split, folder, console)
        metrics = choose_metrics(config, model, data, extra, console)
        try:
            values = compute(model, data, metrics, config.split, config.seed, console)
        except (OSError, ValueError) as error:  # an image that cannot be used, for one
            raise ConfigError(f"evaluate: {' '.join(str(error).split())}") from error
        new = records(values, config.seed, about_checkpoint(model, trained, folder, config.checkpoint))
        folder.add_metrics(new)
        if config.wandb:
            add_evaluation(*logging_of(trained), folder, extra, console)
        console.print(metrics_table(new, title=os.path.relpath(folder.path)))
