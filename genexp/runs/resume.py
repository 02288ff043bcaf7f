"""Where an interrupted run continues, and as what."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.callbacks.finite import tensors
from genexp.record import checkpoint as checkpoints
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.identity import BOOKKEEPING, differing, flatten, without
from genexp.runs.train_config import LIMITS, Training

MAY_CHANGE = (
    *BOOKKEEPING,
    "metrics",
    "evaluation",
    "trainer",
    "callbacks",
    "training.max_images",
    "training.max_steps",
    "training.max_epochs",
    "training.patience",
    "training.collapse",
    "training.checkpoint_every_minutes",
    "training.compile",
    "training.activation_checkpointing",
    "data.num_workers",
    "data.evaluation_batch_size",
)
"""What a run may continue with a different value of: its end, its watchers and its hardware, but not what is learnt."""


def check_same(stored: DictConfig, new: DictConfig, path: str) -> None:
    """Refuse to continue a run as another one.

    Raises:
        ConfigError: naming the first key that differs, and both values.
    """
    before, after = (
        without(flatten(OmegaConf.to_container(config, resolve=True)), MAY_CHANGE) for config in (stored, new)
    )
    if keys := differing(before, after):
        key = keys[0]
        raise ConfigError(
            f"{key}={after.get(key)}: the run in {path} has {before.get(key)}; to continue it, leave that as it was; "
            "for another run, choose another name"
        )


def last_good(folder: RunFolder, console: Console) -> tuple[str, dict[str, Any]] | None:
    """Path and content of the newest checkpoint that is whole and a number (earlier versions wrote others); None where none was
    written yet.

    Args:
        folder: the run.
        console: where damaged ones are named.

    Raises:
        ConfigError: there are checkpoints, and all are damaged.
    """
    damaged = []
    for name in ("last", "previous", "best"):
        path = folder.checkpoints / f"{name}.ckpt"
        if path.exists():
            try:
                state = checkpoints.load(path)
            except checkpoints.CorruptCheckpoint as error:
                console.print(f"  {error}; trying the one before it", highlight=False, soft_wrap=True)
                damaged.append(path.name)
            else:
                if not any(value.is_floating_point() and value.isnan().any() for value in tensors(state["state_dict"])):
                    return str(path), state
                console.print(
                    f"  {path}: its weights are nan; trying the one before it", highlight=False, soft_wrap=True
                )
                damaged.append(path.name)
    if damaged:
        raise ConfigError(
            f"{folder.checkpoints}: {', '.join(damaged)} are damaged; delete {folder.path} to begin anew, or choose another name"
        )
    return None


def is_over(state: dict[str, Any], training: Training) -> bool:
    """Whether a checkpoint is at the end of its training: it ended there by the same limits, or one of the limits is reached."""
    if state["callbacks"]["Checkpoints"]["is_end"] == training.end:
        return True
    done = state["images_seen"], state["steps"], batches_done(state)[0]
    limits = training.max_images, training.max_steps, training.max_epochs
    return any(limit is not None and reached >= limit for reached, limit in zip(done, limits, strict=True))


def is_finished(folder: RunFolder, stored: DictConfig, config: DictConfig) -> bool:
    """Whether a run that is done has nothing left to train. A limit that it has passed is not one of its own: ``config`` then
    keeps those that ended it.

    Args:
        folder: of the run.
        stored: its config.
        config: that it would continue with; changed.
    """
    training = Training.of(config)
    if Training.of(stored).end == training.end:
        return True
    resumed = last_good(folder, Console(quiet=True))
    if resumed is None or not is_over(resumed[1], training):
        return False
    for limit in LIMITS:
        config.training[limit] = stored.training[limit]
    return True


def is_evaluated(folder: RunFolder, stored: DictConfig, config: DictConfig) -> bool:
    """Whether the final values of a run that is done are there, by the metrics and on the split of ``config``."""
    if not (folder.path / "metrics.json").exists():
        return False
    before, after = (
        OmegaConf.to_container(OmegaConf.masked_copy(c, ["metrics", "evaluation"]), resolve=False)
        for c in (stored, config)
    )
    # no metrics at all, as of metrics=[], is no entry
    return (
        before.get("metrics") == after.get("metrics") and before["evaluation"]["split"] == after["evaluation"]["split"]
    )


def batches_done(state: dict[str, Any]) -> tuple[int, int]:
    """The epoch that a checkpoint is in, and how many of its training batches are done."""
    progress = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    epoch = state["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    return (epoch + 1, 0) if progress["is_last_batch"] else (epoch, progress["current"]["processed"])
