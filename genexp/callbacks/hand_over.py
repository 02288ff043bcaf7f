"""Pictures and sounds for the loggers."""

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pytorch_lightning import Trainer

from genexp.families.base import GenerativeModule
from genexp.terminal import Terminal


def hand_over(trainer: Trainer, model: GenerativeModule, key: str, path: Path) -> None:
    """Give a picture to the loggers that take some, with the images seen as its caption."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_image"):  # Lightning gives it to some loggers only
            caption = f"{model.images_seen:,} images"
            logger.log_image(key=key, images=[str(path)], step=model.steps, caption=[caption])


def hand_over_sounds(trainer: Trainer, model: GenerativeModule, key: str, paths: Sequence[Path]) -> None:
    """Give WAV files to the loggers that take some, with the images seen and the name as their captions.

    W&B takes them only where soundfile is installed; otherwise that is said, once."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_audio") and _has_soundfile():  # Lightning gives it to some loggers only
            captions = [f"{model.images_seen:,} images, {path.stem}" for path in paths]
            logger.log_audio(key=key, audios=[str(path) for path in paths], step=model.steps, caption=captions)


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
