"""Values, pictures and sounds for the loggers. The axis of all of them is the number of images seen."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from genexp.callbacks.history_logger import HistoryLogger
from genexp.families.base import GenerativeModule
from genexp.terminal import Terminal


def hand_over_values(trainer: Trainer, model: GenerativeModule, values: Mapping[str, float]) -> None:
    """Give values of the history to all loggers but itself, with the images seen and the epoch beside them."""
    clock = {"images": model.images_seen, "epoch": trainer.current_epoch}
    for logger in trainer.loggers:
        if not isinstance(logger, HistoryLogger):
            logger.log_metrics({**values, **clock}, step=step_of(logger, model))


def hand_over(trainer: Trainer, model: GenerativeModule, key: str, path: Path) -> None:
    """Give a picture to the loggers that take some, with the images seen as its caption."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_image"):  # Lightning gives it to some loggers only, genexp.tracking to some more
            caption = f"{model.images_seen:,} images"
            logger.log_image(key=key, images=[str(path)], step=step_of(logger, model), caption=[caption])


def hand_over_sounds(trainer: Trainer, model: GenerativeModule, key: str, paths: Sequence[Path]) -> None:
    """Give WAV files to the loggers that take some, with the images seen and the name as their captions.

    W&B takes them only where soundfile is installed; otherwise that is said, once."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_audio") and _has_soundfile():  # as with pictures
            captions = [f"{model.images_seen:,} images, {path.stem}" for path in paths]
            logger.log_audio(
                key=key, audios=[str(path) for path in paths], step=step_of(logger, model), caption=captions
            )


def step_of(logger: Any, model: GenerativeModule) -> int:
    """What a logger calls the step: the images seen. W&B has these as a value that is the axis of all others, and what
    Lightning calls the step there, ``trainer/global_step``, are training steps."""
    return model.steps if isinstance(logger, WandbLogger) else model.images_seen


@cache
def _has_soundfile() -> bool:
    if find_spec("soundfile") is not None:
        return True
    Terminal(stderr=True).print(
        "  sounds are not logged: Weights & Biases needs soundfile for them, pip install genexp[sound]; the files are in "
        "the run's folder",
        style="dim",
        soft_wrap=True,
    )
    return False
