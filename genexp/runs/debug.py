"""Debug runs: a short training that looks for faults, and whose folder is no result."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.record.folder import RunFolder
from genexp.runs.settings import Debug, section


def debug_of(config: DictConfig) -> Debug | None:
    """The settings of a debug run, of a config that was checked; None of an ordinary one."""
    given = OmegaConf.to_container(config, resolve=True).get("debug")
    return None if given is None else section(Debug, given, "debug")


def limits(debug: Debug | None) -> dict[str, int]:
    """Arguments of Lightning's trainer: how many batches it takes of an epoch and of a validation, where not all."""
    if debug is None:
        return {}
    wanted = {"limit_train_batches": debug.train_batches, "limit_val_batches": debug.validation_batches}
    return {name: batches for name, batches in wanted.items() if batches is not None}


def take_few(debug: Debug | None, data: Any, world: int) -> None:
    """Let the training have the examples of ``overfit_batches`` only; their order is another one in each epoch, as always.

    Args:
        debug: the settings.
        data: not set up yet; changed.
        world: number of processes.
    """
    if debug is not None and debug.overfit_batches is not None:
        few = debug.overfit_batches * data.batch_size * world
        data.limit = few if data.limit is None else min(few, data.limit)


def epoch_images(debug: Debug | None, data: Any, world: int) -> int:
    """Training examples of an epoch."""
    size = data.size("train")
    if debug is None or debug.train_batches is None:
        return size
    return min(size, debug.train_batches * data.batch_size * world)


def try_split(model: GenerativeModule, data: Any, split: str, console: Console) -> None:
    """The loss of a batch of the split that an evaluation would use.

    Args:
        model: trained.
        data: set up.
        split: its name.
        console: where to write.
    """
    x, y = next(iter(data.loader(split)))
    with model.evaluating(), torch.no_grad():
        losses = model.loss(x.to(model.device), None if y is None else y.to(model.device))
    text = ", ".join(f"{name} {float(value.mean()):.5g}" for name, value in losses.items())
    console.print(f"  not evaluated; a batch of {split}: {text}", highlight=False, soft_wrap=True)


def make_way(folder: RunFolder, console: Console) -> None:
    """Remove the debug run that a folder holds, if it holds one: its name may be used again."""
    if (kind := folder.debug()) is not None:
        console.print(
            f"  {folder.path} held a debug run (debug={kind}): it is replaced", highlight=False, soft_wrap=True
        )
        folder.clear()
