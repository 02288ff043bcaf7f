"""The callbacks that a config names beside those of every run."""

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import DeviceStatsMonitor, EarlyStopping, ModelCheckpoint

from genexp.families.base import GenerativeModule
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.runs.callback_rules import LIGHTNING, check_early_stopping, refuse_kinds


def make_user_callbacks(config: DictConfig, folder: RunFolder, device: torch.device) -> dict[str, Callback]:
    """Those of ``config.callbacks``, by name.

    Args:
        config: composed, and checked.
        folder: of the run; a ``ModelCheckpoint`` without a folder of its own writes into ``checkpoints/<its name>`` there.
        device: that training will use.

    Raises:
        ConfigError: one cannot be made, or does not go with the training.
    """
    made = {}
    for name in config.get("callbacks") or {}:
        key = f"callbacks.{name}"
        callback = instantiate(config, key, list(config.allow_targets))
        kinds = [kind.__name__ for kind in type(callback).__mro__ if kind.__module__.startswith(LIGHTNING)]
        refuse_kinds(key, kinds, config.get("progress", {}))
        if isinstance(callback, EarlyStopping):
            check_early_stopping(key, callback._check_on_train_epoch_end)
        if isinstance(callback, ModelCheckpoint):
            _place(callback, key, folder, name)
        if isinstance(callback, DeviceStatsMonitor) and (callback._cpu_stats or device.type == "cpu"):
            if callback._cpu_stats is not False and find_spec("psutil") is None:
                raise ConfigError(f"{key}: the load of a CPU is read with psutil: pip install psutil")
        made[name] = callback
    return made


def _place(callback: ModelCheckpoint, key: str, folder: RunFolder, name: str) -> None:
    """Keep its files apart from the checkpoints that a run continues from."""
    if callback.dirpath is None:
        callback.dirpath = str(folder.checkpoints.absolute() / name)
    elif folder.checkpoints.absolute() == Path(callback.dirpath).absolute():
        raise ConfigError(
            f"{key}.dirpath={callback.dirpath}: there are the run's own checkpoints; null is a folder beside them"
        )


def check_states(own: Sequence[Callback], users: dict[str, Callback]) -> None:
    """Refuse callbacks whose states could not be told apart in a checkpoint, or not be read back.

    Args:
        own: callbacks of every run.
        users: those of the config, by name.

    Raises:
        ConfigError: naming the callback.
    """
    owner = {callback.state_key: f"genexp's own {type(callback).__name__}" for callback in own if _has_state(callback)}
    for name, callback in users.items():
        if not _has_state(callback):
            continue
        check_plain(name, callback.state_dict())
        if (other := owner.setdefault(callback.state_key, f"callbacks.{name}")) != f"callbacks.{name}":
            raise ConfigError(
                f"callbacks.{name}: its state and that of {other} have one key in a checkpoint, {callback.state_key}; give the "
                "class another name, or a property state_key of its own"
            )


def _has_state(callback: Callback) -> bool:
    return type(callback).state_dict is not Callback.state_dict


class PlainStates(Callback):
    """Refuses to write a checkpoint that could not be read: from a checkpoint come tensors and plain values, and nothing else.

    Args:
        users: the callbacks of the config, by name.
    """

    def __init__(self, users: dict[str, Callback]) -> None:
        self.users = users

    def on_save_checkpoint(self, trainer: Trainer, pl_module: GenerativeModule, checkpoint: dict[str, Any]) -> None:
        for name, callback in self.users.items():
            check_plain(name, checkpoint["callbacks"].get(callback.state_key))


def check_plain(name: str, state: Any) -> None:
    """Refuse a state that would not be read back.

    Args:
        name: of the callback.
        state: from its ``state_dict``.

    Raises:
        ConfigError: naming the callback and what a state may hold.
    """
    file = io.BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except Exception as error:  # whatever pickle meets in it
        raise ConfigError(
            f"callbacks.{name}: its state_dict() must hold tensors, numbers, texts, and lists and dictionaries of them: nothing "
            "else is read back from a checkpoint"
        ) from error
