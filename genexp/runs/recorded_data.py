"""The data of a recorded run: where they lie now, and whether they are what they were."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder


def find_data(trained: DictConfig, folder: RunFolder, root: str | None, console: Console) -> None:
    """Set ``data.root`` in the config of a run to where its data are: ``root``, or else what the run has. A relative folder that is
    not here is looked for in the folder in which the run was trained.

    Args:
        trained: the run's config, which is changed.
        folder: of the run.
        root: the folder that the user names; None for the run's own.
        console: tells of a folder that was found elsewhere.

    Raises:
        ConfigError: the user names a folder, and the data come from none.
    """
    if root is not None:
        if "root" not in trained.data:
            raise ConfigError(
                f"data.root={root}: the data of {folder.path}, {trained.data.name}, are read from no folder"
            )
        OmegaConf.update(trained, "data.root", str(root))
        return
    own, where = OmegaConf.select(trained, "data.root"), folder.status().get("cwd")
    if not isinstance(own, str) or not isinstance(where, str):
        return
    there = Path(where) / Path(own).expanduser()
    if not Path(own).expanduser().exists() and there.is_dir():
        OmegaConf.update(trained, "data.root", str(there))
        console.print(f"  data from {there}", style="dim", highlight=False, markup=False, soft_wrap=True)


def set_up(data: Any) -> None:
    """Find and load the data of a run.

    Raises:
        ConfigError: they are not there, or not what the run's config declares.
    """
    try:
        data.prepare_data()
        data.setup()
    except (OSError, ValueError) as error:
        hint = "; data.root=DIR names where they are now" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError(f"data={data.name}: {' '.join(str(error).split())}{hint}") from error


def tell_changed(data: Any, split: str, folder: RunFolder, console: Console) -> None:
    """Say so where the examples of a split are not those that the run recorded.

    Args:
        data: set up.
        split: that is evaluated.
        folder: of the run.
        console: where to say it.
    """
    recorded = (folder.status().get("data_checksums") or {}).get(split)
    if recorded is not None and recorded != data.fingerprint(split):
        line = f"the {split} data are not those that {folder.path} recorded: their checksums differ"
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
