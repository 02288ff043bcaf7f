"""A run folder becomes a model: ``genexp.load``."""

from pathlib import Path
from typing import Any

import torch
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
        ConfigError: the folder holds no run or no such checkpoint, or its config names a module that is not allowed.
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
    model.load_state_dict(state.get("ema", state["state_dict"]))
    model.on_load_checkpoint(state)
    return model.eval()


def device_of(accelerator: str) -> torch.device:
    """The device that ``trainer.accelerator`` stands for.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    if accelerator in ("gpu", "cuda") and not gpu:
        raise ConfigError(f"trainer.accelerator={accelerator}: no GPU is available; use cpu or auto")
    return torch.device("cuda" if gpu else "cpu")


def about_checkpoint(model: GenerativeModule, config: DictConfig, folder: RunFolder, checkpoint: str) -> dict[str, Any]:
    """What the record of a value says of the weights it was computed with."""
    selection, half_life = "last", config.training.get("ema_half_life_images")
    if checkpoint == "best" and config.training.monitor:
        selection = folder.status().get("selection", f"smallest {config.training.monitor}")  # of earlier versions
    return {
        "checkpoint": checkpoint,
        "selection": selection,
        "ema": f"half-life of {half_life} images" if half_life else config.training.get("ema_decay") or False,
        "images_seen": model.images_seen,
        "train_seed": config.seed,
    }
