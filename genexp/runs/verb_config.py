"""What can be seen to be wrong in the composed configs of ``genexp evaluate`` and ``genexp sample`` before anything heavy is
imported."""

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp.record.arguments import check_arguments, check_spelling
from genexp.record.errors import ConfigError, check_choice, nearest, shown
from genexp.record.folder import RunFolder
from genexp.record.instantiate import check_targets
from genexp.runs.fitting import check_metrics
from genexp.runs.sampling.request import Request
from genexp.runs.settings import ACCELERATORS, Evaluate, Where, section
from genexp.runs.train_config import plain


def check_evaluate(config: DictConfig) -> None:
    """Refuse what is wrong, in the config or in the runs that it names.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    given = _given(config, "a run folder, or a list of them: run=[outputs/a,outputs/b]")
    asked = section(Evaluate, given, "")
    section(Where, asked.data, "data")
    _check_accelerator(asked.trainer)
    check_spelling(given.get("metrics"), "metrics")
    check_targets(config, asked.allow_targets)
    check_arguments(config, "metrics")
    for run in asked.runs:
        trained = _trained(run, asked.checkpoint)
        check_metrics(trained, given.get("metrics"), "metrics")


def check_sample(config: DictConfig, overrides: Iterable[str] = ()) -> None:
    """As :func:`check_evaluate`; with what the config was composed with, also what would have no effect."""
    given = _given(config, "a run folder")
    asked = section(Request, given, "")
    if not asked.run.strip():
        raise ConfigError("run must not be empty: a run folder is needed")
    section(Where, asked.data, "data")
    _check_accelerator(asked.trainer)
    asked.check_used(override.partition("=")[0].strip("+~").partition(".")[0] for override in overrides)
    _trained(asked.run, asked.checkpoint)


def _given(config: DictConfig, runs: str) -> dict[str, Any]:
    if OmegaConf.is_missing(config, "run"):
        raise ConfigError(f"run=... is needed: {runs}")
    return plain(config)


def _check_accelerator(trainer: Mapping[str, Any]) -> None:
    for name in trainer:
        if name != "accelerator":
            raise ConfigError(f"trainer.{name}: there is only trainer.accelerator.{nearest(name, ['accelerator'])}")
    if "accelerator" not in trainer:
        raise ConfigError("trainer.accelerator is missing")
    if trainer["accelerator"] is not None:
        check_choice("trainer.accelerator", trainer["accelerator"], ACCELERATORS)


def _trained(run: str, checkpoint: str) -> dict[str, Any]:
    """The model's section in the config of a run that has this checkpoint."""
    folder = RunFolder.existing(run)
    if not (folder.checkpoints / f"{checkpoint}.ckpt").is_file():
        there = [path.stem for path in sorted(folder.checkpoints.glob("*.ckpt"))]
        raise ConfigError(
            f"checkpoint={shown(checkpoint)}: {run} has {', '.join(there) or 'none'}.{nearest(checkpoint, there)}"
        )
    model = folder.config().get("model")
    return OmegaConf.to_container(model) if isinstance(model, DictConfig) else {}
