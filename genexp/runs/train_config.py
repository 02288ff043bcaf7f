"""What can be seen to be wrong in the composed config of ``genexp train`` before anything heavy is imported, and the settings of
a training as one object."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import ceil
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp.record.errors import SPLITS, ConfigError, check_choice, nearest
from genexp.record.instantiate import check_targets
from genexp.record.secrets import find_secret
from genexp.reports.ledger import check_published
from genexp.runs.trainer_arguments import check_arguments

WANDB_MODES = ("online", "offline", "disabled")
LIMITS = ("max_images", "max_steps", "max_epochs", "patience")
"""Entries of ``training`` that say when it ends."""
COUNTS = (
    "max_images",
    "max_steps",
    "max_epochs",
    "batch_size",
    "accumulate_batches",
    "validate_every_epochs",
    "log_every_steps",
    "patience",
)
"""Entries of ``training`` that count something."""
OPTIONAL = (
    "training.max_images",
    "training.max_steps",
    "training.max_epochs",
    "training.patience",
    "samples.every_images",
)
"""Counts that may be null."""


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

    @classmethod
    def of(cls, config: DictConfig) -> "Training":
        """Those of a composed config.

        Raises:
            ConfigError: ``training`` has an entry that would have no effect, or lacks one.
        """
        given = OmegaConf.to_container(config.training, resolve=True)
        known = [entry.name for entry in fields(cls)]
        for name in given:
            if name not in known:
                raise ConfigError(f"training.{name}: training has no such setting.{nearest(name, known)}")
        if missing := [name for name in known if name not in given]:
            raise ConfigError(f"training lacks {', '.join(missing)}")
        return cls(**given)

    @property
    def end(self) -> list[int | None]:
        """When it ends: the values of :data:`LIMITS`."""
        return [getattr(self, name) for name in LIMITS]


def check(config: DictConfig) -> None:
    """Refuse what can be seen to be wrong in the composed config of ``genexp train``, without heavy imports.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except Exception as error:
        raise ConfigError(" ".join(str(error).split())) from error
    if key := find_secret(resolved):
        raise ConfigError(
            f"{key}: a config holds no secrets, since it is written to the run folder and logged; for W&B, set the "
            "environment variable WANDB_API_KEY, or use `wandb login`"
        )
    check_targets(config, config.allow_targets)
    training = Training.of(config)
    _check_training(training)
    _check_counts(config, training)
    if not isinstance(config.seed, int):
        raise ConfigError(f"seed={config.seed}: must be a whole number")
    check_arguments(resolved["trainer"])
    if config.model.get("conditional") and not config.data.num_classes:
        raise ConfigError(
            f"model.conditional=true needs labels, and data={config.data.name} has none (data.num_classes is null)"
        )
    if config.published is not None:
        check_published(config.published, "published")
    check_choice("evaluation.split", config.evaluation.split, SPLITS)
    if config.logger.wandb is not None:
        check_choice("logger.wandb.mode", config.logger.wandb.mode, WANDB_MODES)


def _check_training(training: Training) -> None:
    if all(value is None for value in (training.max_images, training.max_steps, training.max_epochs)):
        raise ConfigError(
            "training.max_images, max_steps and max_epochs are all null: set one, or training never stops"
        )
    if (collapse := training.collapse) is not None:
        if set(collapse) != {"images", "below"}:
            raise ConfigError(f"training.collapse={collapse}: must say images and below, thresholds by name of a value")
        for name, threshold in collapse["below"].items():
            if not isinstance(threshold, int | float | None):
                raise ConfigError(f"training.collapse.below.{name}={threshold}: must be a number, or null")
    if training.ema_decay is not None and not 0 < training.ema_decay < 1:
        raise ConfigError(f"training.ema_decay={training.ema_decay}: must be between 0 and 1, e.g. 0.999, or null")
    if (half_life := training.ema_half_life_images) is not None:
        if not half_life > 0:
            raise ConfigError(f"training.ema_half_life_images={half_life}: must be positive, e.g. 500_000, or null")
        if training.ema_decay is not None:
            raise ConfigError("training.ema_decay and training.ema_half_life_images: set one of them, the other null")
    if not training.checkpoint_every_minutes >= 0:
        raise ConfigError(
            f"training.checkpoint_every_minutes={training.checkpoint_every_minutes}: must not be negative"
        )
    if training.patience is not None and training.monitor is None:
        raise ConfigError("training.patience needs training.monitor, the validation metric to watch")


def _check_counts(config: DictConfig, training: Training) -> None:
    counts = {f"training.{key}": getattr(training, key) for key in COUNTS}
    counts |= {f"samples.{key}": value for key, value in config.samples.items()}
    counts["evaluation.monitor_every_images"] = config.evaluation.monitor_every_images
    if training.collapse is not None:
        counts["training.collapse.images"] = training.collapse["images"]
    for key, value in counts.items():
        if not ((value is None and key in OPTIONAL) or (isinstance(value, int) and value >= 1)):
            shown = "null" if value is None else value
            raise ConfigError(f"{key}={shown}: must be a whole number of at least 1")


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


def logging_of(config: DictConfig) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The settings of the W&B logger, or None without one; and what it records: the resolved config without them."""
    record = OmegaConf.to_container(config, resolve=True)
    settings = record.pop("logger")["wandb"]
    if settings is not None:
        settings["group"] = settings["group"] or config.group
    return settings, record
