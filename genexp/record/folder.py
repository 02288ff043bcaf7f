"""The folder of a run: what it holds, and how it is written so that nothing is lost."""

import atexit
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp import __version__
from genexp.plot_style import DOT
from genexp.record import small_files
from genexp.record.errors import ConfigError
from genexp.record.interpolations import with_recorded
from genexp.record.owner import beating, fate, this_process
from genexp.record.provenance import environment, now, write_atomically
from genexp.record.weights import Measured

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
        if not folder.holds_run():
            where = folder.path if folder.path.is_dir() else folder.path.parent
            near = sorted(str(p.parent.parent) for p in where.glob("*/.hydra/config.yaml"))[:5]
            hint = f": it has runs inside, {', '.join(near)}" if near and where == folder.path else ""
            hint = hint or (f": near it are {', '.join(near)}" if near else "")
            raise ConfigError(f"{path} holds no run (no .hydra/config.yaml){hint}")
        if reason := folder.unreadable():
            raise ConfigError(reason)
        return folder

    def unreadable(self) -> str | None:
        """Why this version of genexp cannot read the run, and which commit can; None if it can.

        Raises:
            DamagedFile: ``status.json`` does not tell.
        """
        status = self.status()
        version = (status.get("versions") or {}).get("genexp")
        if version is None or tuple(map(int, version.split(".")[:2])) >= OLDEST:
            return None
        commit = (status.get("git") or {}).get("commit")
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
        """The history, a row for each value, as in ``metrics.csv``, without a last one that was cut off; empty before
        training.

        Raises:
            DamagedFile: as all that reads a file here, where it does not hold what genexp wrote.
        """
        return small_files.read_history(self.history)

    def config(self) -> DictConfig:
        """The config as composed, interpolations included, but for those that would read anything of this machine: see
        :mod:`genexp.record.interpolations`. Paths to the data are found anew."""
        config = small_files.read_config(self.config_file)
        is_recorded = self.config_file.with_name("resolved.yaml").is_file()
        return with_recorded(config, self.resolved() if is_recorded else {})

    def resolved(self) -> dict[str, Any]:
        """The config as it was, interpolations resolved."""
        return small_files.read_mapping(self.config_file.with_name("resolved.yaml"))

    def choices(self) -> dict[str, Any]:
        """The option of every config group."""
        return small_files.read_mapping(self.config_file.with_name("choices.yaml"))

    def title(self, data: str) -> str:
        """What a picture of the run is called: the model that was chosen, or else its class, and the data.

        Args:
            data: name of the data.
        """
        chosen = self.choices() if self.config_file.with_name("choices.yaml").is_file() else {}
        model = chosen.get("model") or str(self.config().model.get("_target_", "model")).rpartition(".")[2]
        return f"{model}{DOT}{data}"

    def overrides(self) -> list[str]:
        """What the config was composed with."""
        return small_files.read_overrides(self.config_file.with_name("overrides.yaml"))

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        try:
            return os.path.lexists(self.config_file)
        except ValueError:  # a path with a character that no path can have
            return False

    def debug(self) -> str | None:
        """The kind of debug run that it holds, whose values are no results; None of an ordinary run."""
        return self.status().get("debug")

    def clear(self) -> None:
        """Remove all that a run has written; what others put there stays."""
        for name in (".hydra", "checkpoints", "samples", "wandb"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("status.json", "metrics.csv", "metrics.json", "curves.png", "profile.txt", "fit-*"):
            for path in self.path.glob(name):
                path.unlink()

    def begin(self, config: DictConfig, overrides: list[str], choices: dict[str, str], **entries: Any) -> None:
        """Record what is about to run, and with what.

        Args:
            config: the composed config.
            overrides: what it was composed with.
            choices: the option of every config group.
            entries: further entries of ``status.json``.
        """
        self._clear()
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        beside = self.config_file.with_name
        write_atomically(beside("resolved.yaml"), OmegaConf.to_yaml(config, resolve=True))
        write_atomically(beside("overrides.yaml"), OmegaConf.to_yaml(overrides))
        write_atomically(beside("choices.yaml"), OmegaConf.to_yaml(choices))
        write_atomically(self.config_file, OmegaConf.to_yaml(config))  # last: with it the folder holds a run
        record = environment(self.config_file.parent, config.get("allow_targets") or ())
        self.set_status("running", **{"started": now(), **record, **entries, "owner": this_process()})

    def _clear(self) -> None:
        """Remove what an earlier process that was killed left unfinished: files that were to replace others."""
        for place in (self.path, self.config_file.parent, self.checkpoints, self.samples):
            for path in (*place.glob("*.tmp"), *place.glob(".index-*")):
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own the folder while the block runs; the system gives it free however the process ends. A folder into which
        nothing was written disappears again.

        Raises:
            FolderInUse: another process owns it.
            ConfigError: it cannot be written, or a file in it is a link to another.
        """
        path = self.path / ".lock"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_links()
            file = open(path, "a+")
        except OSError as error:
            raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from error
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, not inherited by loader workers
            except (BlockingIOError, PermissionError) as error:
                file.seek(0)
                raise FolderInUse(f"{self.path} is in use by {file.read() or 'another process'}") from error
            except OSError as error:
                raise ConfigError(f"{path} cannot be locked: {error.strerror}; choose another file system") from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}")
            file.flush()
            try:
                with beating(self.path / "status.json"):
                    yield
            finally:
                file.truncate(0)
                if not [entry for entry in self.path.iterdir() if entry != path]:
                    path.unlink()
                    self.path.rmdir()

    def _refuse_links(self) -> None:
        """A link in place of a file of the run could lead anywhere, and what is written would go there."""
        for place in (self.path, self.samples):
            for entry in place.iterdir() if place.is_dir() else ():
                if entry.is_symlink() and not entry.is_dir():
                    raise ConfigError(f"{entry} is a link, and would be written through: remove it")

    def status(self) -> dict[str, Any]:
        """What ``status.json`` holds; empty before a run was begun. Its ``state`` is what the run itself said last:
        :meth:`state` tells whether that still holds."""
        return small_files.read_status(self.path / "status.json")

    def state(self) -> str:
        """``running``, ``done``, ``pruned``, ``failed``, ``interrupted``, or ``debug`` of a debug run that ended well, as the run
        said; ``killed`` or ``lost`` where its process ended without a word (:func:`genexp.record.owner.fate`); ``unknown`` where
        there is no status."""
        status = self.status()
        state = status.get("state", "unknown")
        return fate(status.get("owner"), self._beat()) if state == "running" else state

    def _beat(self) -> float:
        """When the run last gave a sign of life, in seconds since 1970."""
        times = [path.stat().st_mtime for path in (self.path / "status.json", self.history) if path.exists()]
        return max(times, default=0.0)

    def set_status(self, state: str, **entries: Any) -> None:
        """Change the state, keep the other entries, add ``entries`` and the time."""
        status = {**self.status(), "state": state, **entries, "updated": now()}
        write_atomically(self.path / "status.json", json.dumps(status, indent=2) + "\n")

    def settle(self, state: str, **entries: Any) -> None:
        """As :meth:`set_status`, at an end of whose cause an error of writing must not take the place: where the status cannot
        be written, as on a full disk, it is tried once more when the process ends. If that fails too, the run shows as
        ``killed`` from then on."""
        try:
            self.set_status(state, **entries)
        except (OSError, small_files.DamagedFile):
            atexit.register(self._settle_late, state, entries)

    def _settle_late(self, state: str, entries: dict[str, Any]) -> None:
        with suppress(OSError, small_files.DamagedFile):
            if self.status().get("state") == "running":
                self.set_status(state, **entries)

    def recorded(self) -> list[dict[str, Any]]:
        """All final values with their records, as in ``metrics.json``: also those of weights that the run has no more."""
        return small_files.read_records(self.path / "metrics.json")

    def metrics(self) -> list[dict[str, Any]]:
        """The final values of the weights that are in the run's checkpoints now; see :mod:`genexp.record.weights`."""
        return self._measured().current(self.recorded())

    def stale(self) -> list[dict[str, Any]]:
        """The final values of weights that the run has no more."""
        return self._measured().stale(self.recorded())

    def _measured(self) -> Measured:
        return Measured(self.checkpoints, self.config_file.with_name("measured.json"))

    def add_metrics(self, records: list[dict[str, Any]]) -> None:
        """Add final values; one of the same key and protocol replaces the earlier one, and those of the same checkpoint with
        other weights go behind the others, marked ``stale``."""
        new = {_identity(record) for record in records}
        kept = [record for record in self.recorded() if _identity(record) not in new]
        measured = self._measured()
        measured.note(records)
        fresh, stale = measured.current([*kept, *records]), measured.stale([*kept, *records])
        fresh = [{name: entry for name, entry in record.items() if name != "stale"} for record in fresh]
        content = [*fresh, *({**record, "stale": True} for record in stale)]
        write_atomically(self.path / "metrics.json", json.dumps(content, indent=2) + "\n")


def _identity(record: dict[str, Any]) -> str:
    return json.dumps([record["key"], record["protocol"], record["checkpoint"]], sort_keys=True)
