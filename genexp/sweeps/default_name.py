"""A run or sweep without a name gets one that nobody else has, however many start in the same second."""

import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

MOST = 10_000
"""Runs that may begin within one second."""


CLAIMED: list[Path] = []
"""Folders that this process made, to be removed if nothing comes of them."""


class ClaimName(Callback):
    """Makes a name with the time in it (``${now:...}``) unique, before Hydra makes the folder that it stands for.

    A name that the user chose says which run is meant, and stays. One that tells the time only means a new run: its folder
    is made here, which succeeds for one process alone, on one machine or on several that share the folder; the others try
    the name with ``-2``, ``-3`` ... behind it. So names stay short, and sort by time. A folder that is given
    (``hydra.run.dir``) was claimed by the process that gave it.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not any(item.startswith("hydra.run.dir=") for item in config.hydra.overrides.hydra):
            _claim_name(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        overrides = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        given = [item for item in overrides if item.startswith("name=")]
        if len(given) == 1 and "${now:" in given[0] and _claim_name(config, "sweep"):
            kept = [item for item in overrides if item not in given]
            with read_write(config.hydra):
                config.hydra.overrides.task = [*kept, f"name={config.name}"]


def _claim_name(config: DictConfig, kind: str) -> bool:
    """Whether the name has the time in it; it is then set to a free one, whose folder ``hydra.<kind>.dir`` is there and
    empty."""
    raw = OmegaConf.to_container(config, resolve=False)["name"]
    if not (isinstance(raw, str) and "${now:" in raw):
        return False
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)  # as it will be: the name is made of the groups that were chosen
    try:
        folder = Path(config.hydra[kind].dir)
        own = claim(folder)
        with open_dict(config):
            config.name = config.name + own.name.removeprefix(folder.name)
    finally:
        HydraConfig.instance().cfg = before
    return True


def claim(folder: Path) -> Path:
    """Make a folder that nobody else made: this one, or with ``-2``, ``-3`` ... behind its name.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, MOST):
        own = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            os.mkdir(own)
        except FileExistsError:
            continue
        CLAIMED.append(own)
        return own
    raise FileExistsError(f"{folder} and {MOST:,} more are taken")
