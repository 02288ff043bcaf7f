"""A composed config, checked before anything heavy is imported, and turned into objects."""

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from math import ceil
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from genexp.runs.secrecy import find_secret

ALLOWED = (
    "genexp.",
    "torch.nn.",
    "torch.optim.",
    "torch.distributions.",
    "torchmetrics.",
    "pytorch_lightning.",
)
"""What ``_target_`` may name. Not all of torch: ``torch.load`` and others execute what they read."""


SPLITS = ("train", "validation", "test")
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
PUBLISHED = (
    "paper",
    "table",
    "metric",
    "value",
    "unit",
    "spread",
    "spread_kind",
    "tolerance",
    "selection",
    "evidence",
    "verified",
)
"""What the block ``published`` of an experiment must say."""


class ConfigError(ValueError):
    """The user's input is wrong: one line that names the key or file and what would be right."""


def nearest(name: str, names: Sequence[str]) -> str:
    """`` Did you mean 'x'?`` for the most similar of ``names``, or an empty string."""
    match = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def targets(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All ``(key, _target_)`` below ``config``."""
    if isinstance(config, DictConfig):
        for key in config:
            if not OmegaConf.is_missing(config, key):
                here = f"{path}.{key}" if path else str(key)
                if key == "_target_":
                    yield here, str(config[key])
                yield from targets(config._get_node(key), here)
    elif isinstance(config, ListConfig):
        for i in range(len(config)):
            yield from targets(config._get_node(i), f"{path}[{i}]")


def allowed_prefixes(extra: Sequence[str]) -> tuple[str, ...]:
    """The allow-list, with the modules in ``extra`` and in the environment variable GENEXP_ALLOW_TARGETS."""
    named = [*extra, *os.environ.get("GENEXP_ALLOW_TARGETS", "").split(",")]
    return ALLOWED + tuple(name.strip().rstrip(".") + "." for name in named if name.strip())


def check_targets(config: Any, extra: Sequence[str], path: str = "") -> None:
    """Refuse a config that names anything outside the allow-list, before anything is imported.

    Args:
        config: any node of a config.
        extra: further modules that the user trusts.
        path: key of the node, for the message.

    Raises:
        ConfigError: naming the key, the target and how to allow it.
    """
    prefixes = allowed_prefixes(extra)
    for key, target in targets(config, path):
        if not target.startswith(prefixes):
            raise ConfigError(
                f"{key}={target} is not among the modules that a config may name ({', '.join(ALLOWED)}). "
                f"If you trust it: allow_targets=[{target.split('.')[0]}] or GENEXP_ALLOW_TARGETS={target.split('.')[0]}"
            )


def instantiate(config: DictConfig, key: str, extra: Sequence[str], **arguments: Any) -> Any:
    """The object that ``config.<key>`` describes, called with ``arguments`` as well.

    The allow-list is checked twice: on the names, and on where the named objects were defined, since
    ``torch.nn.init.torch.load`` begins with an allowed prefix too.

    Raises:
        ConfigError: with the cause of whatever went wrong, and the key.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import get_object
    from hydra.utils import instantiate as hydra_instantiate

    node = OmegaConf.select(config, key)
    check_targets(node, extra, key)
    prefixes = allowed_prefixes(extra)
    try:
        for where, target in targets(node, key):
            defined = getattr(get_object(target), "__module__", None) or ""
            if not f"{defined}.".startswith(prefixes):
                raise ConfigError(f"{where}={target} is defined in '{defined}', which a config may not name")
        return hydra_instantiate(node, _convert_="all", **arguments)
    except (InstantiationException, ImportError, OSError, ValueError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = " ".join(str(cause).split())
        raise ConfigError(f"{key}: {text}") from error


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


def check_choice(key: str, value: str, valid: Sequence[str]) -> None:
    """Refuse a value that is not among ``valid``, with the nearest that is."""
    if value not in valid:
        raise ConfigError(f"{key}={value}: must be one of {', '.join(valid)}.{nearest(str(value), valid)}")


def check_published(block: Mapping[str, Any], where: str) -> None:
    """Refuse a block ``published`` that lacks an entry.

    Args:
        block: the block.
        where: where it stands, for the message.
    """
    missing = [key for key in PUBLISHED if key not in block]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")


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
