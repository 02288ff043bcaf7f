"""What can be seen to be wrong in the composed config of ``genexp train`` before anything heavy is imported, and the settings of
a training as one object."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genexp.ranges import at_least, inside, positive
from genexp.record.annotations import LARGEST
from genexp.record.arguments import check_arguments, check_spelling
from genexp.record.errors import ConfigError, check_choice, nearest, shown
from genexp.record.instantiate import check_targets, rename_lightning
from genexp.record.secrets import find_secret
from genexp.reports.ledger import check_published
from genexp.runs import trainer_arguments
from genexp.runs.callback_rules import check_callbacks
from genexp.runs.fitting import check_metrics
from genexp.runs.foreign_keys import foreign, refuse_foreign
from genexp.runs.initial_weights import initial_weights
from genexp.runs.logger_settings import check_loggers, check_packages
from genexp.runs.settings import ACCELERATORS, OPTIONAL, PRECISIONS, Debug, Evaluation, Run, count, section

LIMITS = ("max_images", "max_steps", "max_epochs", "patience")
"""Entries of ``training`` that say when it ends."""
OBJECTS = ("model", "trainer", "callbacks", "metrics", "monitors")
"""Sections whose arguments constructors declare, beside the data, which others refer to."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings of a training, as ``conf/training`` explains them."""

    batch_size: int
    accumulate_batches: int
    max_images: int | None
    max_steps: int | None
    max_epochs: int | None
    monitor: str | None
    patience: int | None
    collapse: dict[str, Any] | None
    gradient_clip_norm: float | dict[str, float | None] | None
    compile: bool
    activation_checkpointing: bool
    validate_every_epochs: int
    log_every_steps: int
    checkpoint_every_minutes: float
    ema_decay: float | None
    ema_half_life_images: float | None
    initial_weights: str | dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate_batches", "validate_every_epochs", "log_every_steps"):
            count(1, **{name: getattr(self, name)})
        for name in LIMITS:
            if getattr(self, name) is not None:
                count(1, **{name: getattr(self, name)})
        at_least(0, checkpoint_every_minutes=self.checkpoint_every_minutes)
        if self.ema_decay is not None:
            inside(0, 1, hint=", e.g. 0.999, or null", ema_decay=self.ema_decay)
        if self.ema_half_life_images is not None:
            positive(hint=", e.g. 500_000, or null", ema_half_life_images=self.ema_half_life_images)
        norm = self.gradient_clip_norm
        for name, value in norm.items() if isinstance(norm, dict) else [("", norm)]:
            if value is not None:
                positive(hint=", or null", **{f"gradient_clip_norm.{name}".rstrip("."): value})
        if self.collapse is not None:
            _check_collapse(self.collapse)
        initial_weights(self.initial_weights)

    @classmethod
    def of(cls, config: DictConfig) -> "Training":
        """Those of a composed config.

        Raises:
            ConfigError: ``training`` has an entry that would have no effect, lacks one, or a value is wrong.
        """
        return section(cls, OmegaConf.to_container(config.training, resolve=True), "training")

    @property
    def end(self) -> list[int | None]:
        """When it ends: the values of :data:`LIMITS`."""
        return [getattr(self, name) for name in LIMITS]


def check(config: DictConfig, is_apart: bool = False) -> None:
    """Refuse what can be seen to be wrong in the composed config of ``genexp train``, without heavy imports.

    Args:
        config: composed.
        is_apart: whether batches may have another size than ``training`` says, as in a run of an earlier version.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    rename_lightning(config)
    resolved = plain(config)
    if key := find_secret(resolved):
        raise ConfigError(
            f"{key}: a config holds no secrets, since it is written to the run folder and logged; for W&B, set the "
            "environment variable WANDB_API_KEY, or use `wandb login`"
        )
    top = _without_variables(config, resolved)
    refuse_foreign([name for name in top if name not in Run.__dataclass_fields__], config)
    section(Run, top, "")
    check_packages(resolved.get("logger"))  # a class of a package that is not there has no spelling
    check_spelling(resolved)
    check_targets(config, config.allow_targets)
    training = Training.of(config)
    _check_training(training)
    if not config.resume and (begin := initial_weights(training.initial_weights)) is not None:
        begin.path()  # refused if it is not there
    for name, make in OPTIONAL.items():
        if resolved.get(name) is not None:
            section(make, resolved[name], name)
    check_callbacks(resolved.get("callbacks"), resolved.get("progress", {}))
    _check_debug(resolved)
    section(Evaluation, resolved["evaluation"], "evaluation")
    trainer_arguments.check_arguments(resolved["trainer"])
    _check_trainer(resolved["trainer"])
    check_arguments(config, "data")
    _check_whole(resolved)
    if not is_apart:
        _check_batch_size(resolved)
    for key in OBJECTS:
        try:
            check_arguments(config, key)
        except ConfigError as error:
            name = str(error).partition(": ")[0].partition("=")[0]
            raise ConfigError(". ".join(filter(None, (str(error).rstrip("."), foreign(name, config))))) from error
    if config.published is not None:
        check_published(config.published, "published")
    check_loggers(resolved.get("logger"))
    for group in ("metrics", "monitors"):
        check_metrics(resolved["model"], resolved.get(group), group)


def plain(config: DictConfig) -> dict[str, Any]:
    """A composed config as plain containers, interpolations resolved.

    Raises:
        ConfigError: an interpolation leads nowhere, or a value is missing; names its key.
    """
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        text = " ".join(str(error).splitlines()[0].split())
        raise ConfigError(f"{error.full_key}: {text}" if error.full_key else text) from error


def _without_variables(config: DictConfig, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The top of a config without entries that only others refer to, as ``width`` of ``${width}``."""
    unknown = [name for name in resolved if name not in Run.__dataclass_fields__]
    text = OmegaConf.to_yaml(config) if unknown else ""
    variables = [name for name in unknown if f"${{{name}}}" in text or f"${{{name}." in text]
    return {name: value for name, value in resolved.items() if name not in variables}


def _check_debug(resolved: Mapping[str, Any]) -> None:
    if resolved.get("debug") is None:
        return
    section(Debug, resolved["debug"], "debug")
    if resolved["trial"] is not None:
        raise ConfigError("debug: a study needs results, and a debug run is none; leave debug out, or the study")


def _check_training(training: Training) -> None:
    if all(value is None for value in (training.max_images, training.max_steps, training.max_epochs)):
        raise ConfigError(
            "training.max_images, max_steps and max_epochs are all null: set one, or training never stops"
        )
    if training.ema_half_life_images is not None and training.ema_decay is not None:
        raise ConfigError("training.ema_decay and training.ema_half_life_images: set one of them, the other null")
    if training.patience is not None and training.monitor is None:
        raise ConfigError("training.patience needs training.monitor, the validation metric to watch")


def _check_collapse(collapse: Mapping[str, Any]) -> None:
    for name in collapse:
        if name not in ("images", "below"):
            raise ValueError(f"collapse.{name}: collapse has no such setting.{nearest(str(name), ['images', 'below'])}")
    if set(collapse) != {"images", "below"}:
        raise ValueError(f"collapse={shown(collapse)}: must say images and below, thresholds by name of a value")
    images, below = collapse["images"], collapse["below"]
    if not isinstance(images, int) or isinstance(images, bool) or not 1 <= images < LARGEST:
        raise ValueError(f"collapse.images={shown(images)}: must be a whole number of at least 1")
    if not isinstance(below, Mapping):
        raise ValueError(f"collapse.below={shown(below)}: must be thresholds by name of a value")
    for name, threshold in below.items():
        if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
            raise ValueError(f"collapse.below.{name}={shown(threshold)}: must be a number, or null")
        if threshold is not None:
            inside(float("-inf"), float("inf"), hint=", or null", **{f"collapse.below.{name}": threshold})


def _check_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse devices and precisions that there are not."""
    for key, choices in (("accelerator", ACCELERATORS), ("precision", PRECISIONS)):
        if key not in trainer:
            raise ConfigError(f"trainer.{key} is missing")
        check_choice(f"trainer.{key}", trainer[key], choices)
    devices = trainer.get("devices", 1)
    is_count = isinstance(devices, int) and not isinstance(devices, bool) and 1 <= devices <= 1_024
    is_list = isinstance(devices, list) and bool(devices) and all(type(d) is int and d >= 0 for d in devices)
    if not (is_count or is_list or devices == "auto"):
        raise ConfigError(
            f"trainer.devices={shown(devices)}: must be auto, a whole number of at least 1, or a list of devices"
        )


def _check_batch_size(config: Mapping[str, Any]) -> None:
    """Refuse batches of another size than the record would tell."""
    size = config["data"].get("batch_size", config["training"]["batch_size"])
    if size != config["training"]["batch_size"]:
        raise ConfigError(
            f"data.batch_size={shown(size)}: must be training.batch_size={config['training']['batch_size']}; set that one, "
            f"training.batch_size={shown(size)}"
        )


def _check_whole(config: Mapping[str, Any]) -> None:
    """Refuse what only shows where sections meet."""
    model, data = config["model"], config["data"]
    for name in ("shape", "levels", "num_classes"):
        if name in model and model[name] != data.get(name):
            raise ConfigError(
                f"model.{name}={shown(model[name])}: must be that of the data, data.{name}={shown(data.get(name))}; leave it out"
            )
    if model.get("conditional") is True and not data.get("num_classes"):
        raise ConfigError(
            f"model.conditional=true needs labels, and data={data.get('name')} has none (data.num_classes is null)"
        )


def planned_images(training: Mapping[str, Any], batches_per_step: int, epoch_images: int | None) -> int | None:
    """Training images until the first of the limits in ``training``; None if that is not known.

    Args:
        training: the config of that name.
        batches_per_step: of an update of the model; an epoch ends with a step, however few batches that has.
        epoch_images: examples of an epoch; None if not known.
    """
    per_step: float = training["batch_size"] * batches_per_step
    if epoch_images:
        per_step = epoch_images / ceil(epoch_images / per_step)
    limits = [training["max_images"], training["max_steps"] and round(training["max_steps"] * per_step)]
    if training["max_epochs"] is not None and epoch_images:
        limits.append(training["max_epochs"] * epoch_images)
    return min((limit for limit in limits if limit is not None), default=None)


def logging_of(config: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the loggers by name, and what these record: the resolved config without them."""
    record = OmegaConf.to_container(config, resolve=True)
    loggers = record.pop("logger", None) or {}
    if (wandb := loggers.get("wandb")) is not None:
        wandb["group"] = wandb["group"] or config.group
    return loggers, record
