"""The device on which a run is trained, and taken up later."""

import torch
from omegaconf import DictConfig
from rich.console import Console

from genexp.record.errors import ConfigError

GPUS = {"gpu": "GPU", "cuda": "GPU of NVIDIA or AMD (CUDA)", "mps": "GPU of Apple (MPS)"}
"""What an accelerator needs."""


def device_of(accelerator: str) -> torch.device:
    """The device that ``trainer.accelerator`` stands for: the one that Lightning's trainer takes.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    if accelerator in GPUS:
        raise ConfigError(f"trainer.accelerator={accelerator}: no {GPUS[accelerator]} is available; use cpu or auto")
    return torch.device("cpu")


def device_of_run(asked: str | None, trained: DictConfig, console: Console) -> torch.device:
    """The device on which a trained run is taken up.

    Args:
        asked: ``trainer.accelerator`` of the command; None for the one that the run was trained with, or what there is.
        trained: config of the run.
        console: tells where that one is not here.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    if asked is not None:
        return device_of(asked)
    own = trained.trainer.accelerator
    try:
        return device_of(own)
    except ConfigError:
        device = device_of("auto")
        line = f"  trained with trainer.accelerator={own}, which is not here: it runs on {device.type}"
        console.print(line, style="dim", highlight=False, soft_wrap=True)
        return device
