"""A run from its folder: continued where it stopped, or repeated from the start in a new one."""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.record.errors import ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.record.identity import flatten
from genexp.record.instantiate import CONFIG_DIR
from genexp.runs.first_stage import insert
from genexp.runs.hydra_errors import explain, foreign
from genexp.runs.logger_settings import check_recorded
from genexp.runs.recorded_data import find_data
from genexp.runs.train_config import check, plain


def resume(path: str, overrides: Sequence[str], console: Console) -> None:
    """``genexp train run=outputs/x``: continue from the last good checkpoint, with the config that the folder holds.

    Args:
        path: the run folder.
        overrides: ``key=value`` for what may change: limits, trainer, logger, metrics.
        console: where to write.

    Raises:
        ConfigError: there is no run, or an override cannot be applied.
    """
    folder = RunFolder.existing(path)
    if (kind := folder.debug()) is not None:
        raise ConfigError(
            f"run={path}: a debug run (debug={kind}) is not continued; train it anew, under the same name if you like"
        )
    config = _distrusted(folder, overrides)
    override(config, overrides)
    config.resume = True
    OmegaConf.update(config, "trial", None, force_add=True)  # only its sweep decides about a trial
    _train(config, folder, folder, overrides, console)


def repeat(path: str, overrides: Sequence[str], console: Console) -> None:
    """``genexp repeat outputs/x``: train anew with the recorded config, in ``outputs/<name>``, and compare the results.

    Args:
        path: the run folder.
        overrides: ``key=value``, e.g. ``name=again`` or ``seed=1``; ``name`` is ``<old name>-repeated`` by default.
        console: where to write.

    Raises:
        ConfigError: there is no run, the new folder is not free, or an override cannot be applied.
    """
    original = RunFolder.existing(path)
    config = _distrusted(original, overrides)
    OmegaConf.update(config, "name", f"{config.name}-repeated")
    OmegaConf.update(config, "group", None, force_add=True)
    override(config, overrides)
    config.resume = False
    OmegaConf.update(config, "trial", None, force_add=True)
    folder = RunFolder(f"outputs/{config.name}")
    _train(config, folder, original, overrides, console)
    for line in unlike(original.status(), folder.status()):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    before, after = ({r["key"]: r["value"] for r in run.metrics()} for run in (original, folder))
    same = [key for key in before if before[key] == after.get(key)]
    console.print(f"{len(same)} of {len(before)} values equal those of {original.path} exactly", highlight=False)
    for key in before.keys() - set(same):
        console.print(f"  {key}: {before[key]:.7g}, repeated {after.get(key, float('nan')):.7g}", highlight=False)


def _distrusted(folder: RunFolder, overrides: Sequence[str]) -> DictConfig:
    """The config of a folder, which somebody else may have made: what it allows itself does not count, nor where its
    loggers would write. Callbacks that a run of an earlier version has in ``trainer.callbacks`` are among ``callbacks``."""
    config = folder.config()
    OmegaConf.update(config, "allow_targets", [])
    check_recorded(plain(config).get("logger") or {}, overrides, str(folder.path))
    if callbacks := OmegaConf.select(config, "trainer.callbacks"):
        named = {f"trainer_{i}": node for i, node in enumerate(callbacks)}
        OmegaConf.update(config, "callbacks", {**(config.get("callbacks") or {}), **named}, force_add=True)
    if "trainer" in config:
        config.trainer.pop("callbacks", None)
    return config


def _train(
    config: DictConfig, folder: RunFolder, source: RunFolder, overrides: Sequence[str], console: Console
) -> None:
    find_data(config, source, None, console)
    insert(config)
    recorded = source.config()
    sizes = [OmegaConf.select(recorded, f"{key}.batch_size") for key in ("data", "training")]
    check(config, is_apart=sizes[0] != sizes[1] and not any("data.batch_size=" in word for word in overrides))
    from genexp.runs.train import train

    train(config, folder, [*source.overrides(), *overrides], source.choices(), console)


def unlike(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differed between two runs' surroundings, a line each: data, commit, versions, machine."""
    lines = []
    for entry in ("initial_weights", "data_checksums", "git", "versions", "machine", "python"):
        old, new = (
            {"": run.get(entry)} if not isinstance(run.get(entry), dict) else run[entry] for run in (before, after)
        )
        for key in old.keys() | new.keys() - {"root"}:
            if old.get(key) != new.get(key):
                lines.append(f"{f'{entry}.{key}'.rstrip('.')}: {old.get(key)} then, {new.get(key)} now")
    return sorted(lines)


def _is_group(key: str) -> bool:
    """Whether a key is a config group, here or in the user's own folder."""
    own = os.environ.get(CONFIG_DIR)
    return (files("genexp.conf") / key).is_dir() or bool(own and (Path(own) / key).is_dir())


def own_configs() -> list[str]:
    """What lets Hydra find the options in the user's own config folder."""
    own = os.environ.get(CONFIG_DIR)
    return [f"hydra.searchpath=['file://{own}']"] if own else []


def override(config: DictConfig, overrides: Sequence[str]) -> None:
    """Set ``key=value`` in a composed config; a config group at its top, such as ``trainer=cpu``, is composed anew.

    Raises:
        ConfigError: the override is malformed, sweeps, or names a key that the config does not have.
    """
    from hydra import compose, initialize_config_module
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        for item in OverridesParser.create().parse_overrides(list(overrides)):
            if item.is_sweep_override() or item.is_delete() or item.package is not None:
                raise ConfigError(f"{item.input_line}: a run in a folder takes key=value only")
            key, value = item.key_or_group, item.value()
            if _is_group(key) and isinstance(value, str | list):
                with initialize_config_module("genexp.conf", version_base="1.3"):
                    value = compose("train", overrides=[item.input_line, *own_configs()]).get(key)
                OmegaConf.update(config, key, value, merge=False, force_add=True)
                continue
            if not item.is_add() and OmegaConf.select(config, key, default=...) is ...:
                keys = list(flatten(OmegaConf.to_container(config)))
                raise ConfigError(
                    foreign(key, list(overrides), keys) or f"{key} is not in the config of this run.{nearest(key, keys)}"
                )
            OmegaConf.update(config, key, value, merge=False, force_add=item.is_add())
    except HydraException as error:
        raise ConfigError(explain(error, "train", list(overrides))) from error
