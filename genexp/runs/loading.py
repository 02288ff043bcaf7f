"""A run folder becomes a model: ``genexp.load``."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genexp.families.base import GenerativeModule
from genexp.record import checkpoint as checkpoints
from genexp.record.errors import ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate


def load(run: str | Path, checkpoint: str = "best", allow_targets: tuple[str, ...] = ()) -> GenerativeModule:
    """The trained model of a run folder, in evaluation mode on the CPU; weights only, no pickle is executed. A run with an
    exponential moving average of its weights gives the average.

    Args:
        run: a run folder.
        checkpoint: ``best`` or ``last``.
        allow_targets: modules outside genexp and torch whose classes the run's config may name.

    Raises:
        ConfigError: the folder holds no run or no such checkpoint, another version of genexp wrote it, or its config names a
            module that is not allowed.
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
    try:
        model.load_state_dict(state.get("ema", state["state_dict"]))
        model.on_load_checkpoint(state)
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"{path}: not the weights of the model in {folder.config_file}: {text:.300}") from error
    return model.eval()


def about_checkpoint(model: GenerativeModule, config: DictConfig, folder: RunFolder, checkpoint: str) -> dict[str, Any]:
    """What the record of a value says of the weights it was computed with."""
    half_life = config.training.ema_half_life_images
    is_selected = checkpoint == "best" and config.training.monitor
    return {
        "checkpoint": checkpoint,
        "selection": folder.status().get("selection", "unknown") if is_selected else "last",
        "ema": f"half-life of {half_life} images" if half_life else config.training.ema_decay or False,
        "images_seen": model.images_seen,
        "train_seed": config.seed,
    }
