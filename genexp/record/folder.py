"""The folder of a run: what it holds, and how it is written so that nothing is lost."""

import csv
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp import __version__
from genexp.record.errors import ConfigError
from genexp.record.provenance import environment, now, write_atomically

OLDEST = (0, 2)
"""The version of genexp whose runs this one reads: classes and records of earlier ones have other names."""


class FolderInUse(ConfigError):
    """Another process trains in a run folder."""


class RunFolder:
    """One run on disk: ``.hydra/`` with its configs, ``status.json``, ``metrics.csv``, ``metrics.json``, ``checkpoints/``,
    ``samples/``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def existing(cls, path: str | Path) -> "RunFolder":
        """A folder that holds a run.

        Raises:
            ConfigError: there is none; names the runs beside it.
        """
        folder = cls(path)
        if not folder.config_file.is_file():
            where = folder.path if folder.path.is_dir() else folder.path.parent
            near = sorted(str(p.parent.parent) for p in where.glob("*/.hydra/config.yaml"))[:5]
            hint = f": it has runs inside, {', '.join(near)}" if near and where == folder.path else ""
            hint = hint or (f": near it are {', '.join(near)}" if near else "")
            raise ConfigError(f"{path} holds no run (no .hydra/config.yaml){hint}")
        if reason := folder.unreadable():
            raise ConfigError(reason)
        return folder

    def unreadable(self) -> str | None:
        """Why this version of genexp cannot read the run, and which commit can; None if it can."""
        status = self.status()
        version = status.get("versions", {}).get("genexp")
        if version is None or tuple(map(int, version.split(".")[:2])) >= OLDEST:
            return None
        commit = status.get("git", {}).get("commit")
        reader = f"commit {commit} of genexp reads it" if commit else f"genexp {version} reads it"
        return f"{self.path} was written by genexp {version}, whose classes have other names in {__version__}; {reader}"

    @property
    def config_file(self) -> Path:
        return self.path / ".hydra" / "config.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def history(self) -> Path:
        return self.path / "metrics.csv"

    def rows(self) -> list[dict[str, str]]:
        """The history, a row for each value, as in ``metrics.csv``; empty before training."""
        if not self.history.is_file():
            return []
        with open(self.history, newline="") as file:
            return list(csv.DictReader(file))

    def config(self) -> DictConfig:
        """The config as composed, interpolations included: paths from the environment are found anew."""
        return OmegaConf.load(self.config_file)

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.config_file.is_file()

    def begin(self, config: DictConfig, overrides: list[str], choices: dict[str, str], **entries: Any) -> None:
        """Record what is about to run, and with what.

        Args:
            config: the composed config.
            overrides: what it was composed with.
            choices: the option of every config group.
            entries: further entries of ``status.json``.
        """
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        beside = self.config_file.with_name
        write_atomically(beside("resolved.yaml"), OmegaConf.to_yaml(config, resolve=True))
        write_atomically(beside("overrides.yaml"), OmegaConf.to_yaml(overrides))
        write_atomically(beside("choices.yaml"), OmegaConf.to_yaml(choices))
        write_atomically(self.config_file, OmegaConf.to_yaml(config))  # last: with it the folder holds a run
        record = environment(self.config_file.parent)
        self.set_status("running", **{"started": now(), **record, **entries})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own the folder while the block runs; the system gives it free however the process ends. A folder into which
        nothing was written disappears again.

        Raises:
            FolderInUse: another process owns it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / ".lock"
        with open(path, "a+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, not inherited by loader workers
            except OSError as error:
                file.seek(0)
                raise FolderInUse(f"{self.path} is in use by {file.read() or 'another process'}") from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)
                if not [entry for entry in self.path.iterdir() if entry != path]:
                    path.unlink()
                    self.path.rmdir()

    def status(self) -> dict[str, Any]:
        """What ``status.json`` holds: ``state`` is running, done, pruned, failed or interrupted."""
        path = self.path / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def set_status(self, state: str, **entries: Any) -> None:
        """Change the state, keep the other entries, add ``entries`` and the time."""
        status = {**self.status(), "state": state, **entries, "updated": now()}
        write_atomically(self.path / "status.json", json.dumps(status, indent=2) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The final values with their records, as in ``metrics.json``."""
        path = self.path / "metrics.json"
        return json.loads(path.read_text()) if path.exists() else []

    def add_metrics(self, records: list[dict[str, Any]]) -> None:
        """Add final values; one of the same key and protocol replaces the earlier one."""
        new = {_identity(record) for record in records}
        kept = [record for record in self.metrics() if _identity(record) not in new]
        write_atomically(self.path / "metrics.json", json.dumps([*kept, *records], indent=2) + "\n")


def _identity(record: dict[str, Any]) -> str:
    return json.dumps([record["key"], record["protocol"], record["checkpoint"]], sort_keys=True)
