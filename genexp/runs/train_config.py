"""What can be seen to be wrong in the composed config of ``genexp train`` before anything heavy is imported."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp.record.errors import SPLITS, ConfigError, check_choice
from genexp.record.instantiate import check_targets
from genexp.record.secrets import find_secret
from genexp.reports.ledger import check_published

WANDB_MODES = ("online", "offline", "disabled")
COUNTS = (
    "max_images",
    "max_steps",
    "max_epochs",
    "batch_size",
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
    training = config.training
    if all(training[key] is None for key in ("max_images", "max_steps", "max_epochs")):
        raise ConfigError(
            "training.max_images, max_steps and max_epochs are all null: set one, or training never stops"
        )
    counts = {f"training.{key}": training[key] for key in COUNTS} | {
        f"samples.{k}": v for k, v in config.samples.items()
    }
    if "monitor_every_images" in config.evaluation:  # runs of earlier versions have no such key, here and below
        counts["evaluation.monitor_every_images"] = config.evaluation.monitor_every_images
    if (collapse := training.get("collapse")) is not None:
        if set(collapse) != {"images", "below"}:
            raise ConfigError(f"training.collapse={collapse}: must say images and below, thresholds by name of a value")
        counts["training.collapse.images"] = collapse.images
        for name, threshold in collapse.below.items():
            if not isinstance(threshold, int | float | None):
                raise ConfigError(f"training.collapse.below.{name}={threshold}: must be a number, or null")
    for key, value in counts.items():
        if not ((value is None and key in OPTIONAL) or (isinstance(value, int) and value >= 1)):
            shown = "null" if value is None else value
            raise ConfigError(f"{key}={shown}: must be a whole number of at least 1")
    if training.ema_decay is not None and not 0 < training.ema_decay < 1:
        raise ConfigError(f"training.ema_decay={training.ema_decay}: must be between 0 and 1, e.g. 0.999, or null")
    half_life = training.get("ema_half_life_images")
    if half_life is not None:
        if not half_life > 0:
            raise ConfigError(f"training.ema_half_life_images={half_life}: must be positive, e.g. 500_000, or null")
        if training.ema_decay is not None:
            raise ConfigError("training.ema_decay and training.ema_half_life_images: set one of them, the other null")
    if not training.checkpoint_every_minutes >= 0:
        raise ConfigError(
            f"training.checkpoint_every_minutes={training.checkpoint_every_minutes}: must not be negative"
        )
    if not isinstance(config.seed, int):
        raise ConfigError(f"seed={config.seed}: must be a whole number")
    if training.patience is not None and training.monitor is None:
        raise ConfigError("training.patience needs training.monitor, the validation metric to watch")
    for key in ("max_steps", "max_epochs"):
        if key in config.trainer:
            raise ConfigError(f"trainer.{key}: use training.{key}, which counts the steps of the generator once")
    if config.model.get("conditional") and not config.data.num_classes:
        raise ConfigError(
            f"model.conditional=true needs labels, and data={config.data.name} has none (data.num_classes is null)"
        )
    if config.published is not None:
        check_published(config.published, "published")
    check_choice("evaluation.split", config.evaluation.split, SPLITS)
    if config.logger.wandb is not None:
        check_choice("logger.wandb.mode", config.logger.wandb.mode, WANDB_MODES)


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
