"""The metrics that a config names, if they fit the model and the data."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate
from genexp.runs.metric_options import metric_options


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
    chosen = config.get(group) or {}  # as of metrics=[]
    names = [name for name in chosen if name != "unfit"]
    metrics: dict[str, Metric] = {}
    refusals: dict[str, str] = {}
    for name in names:
        metric = instantiate(config, f"{group}.{name}", extra)
        refusal = metric.refusal(model, data)
        if refusal is None:
            metrics[name] = metric
        else:
            refusals[name] = refusal
    if refusals and chosen.get("unfit") != "skip":
        name, reason = next(iter(refusals.items()))
        raise ConfigError(
            f"{group}={name}: {reason}; metrics that fit: {', '.join(fitting(model, data, extra)) or 'none'}"
        )
    for name, reason in refusals.items():
        console.print(f"  metric {name} skipped: {reason}", style="dim", highlight=False, soft_wrap=True)
    for name, metric in metrics.items():
        try:
            metric.prepare()
        except (FileNotFoundError, ValueError) as error:
            raise ConfigError(f"{group}.{name}: {error}") from error
    return metrics


def fitting(model: GenerativeModule, data: Any, extra: list[str]) -> list[str]:
    """Names of the metrics in ``conf/metrics``, and in that folder of the user's configs, that can be computed on this model and
    these data."""
    names = []
    for name, node in metric_options().items():
        metric = instantiate(OmegaConf.create({"metrics": {name: node}}), f"metrics.{name}", extra)
        if metric.refusal(model, data) is None:
            names.append(name)
    return sorted(names)
