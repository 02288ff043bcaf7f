"""The folder of a run: what it holds, and how it is written so that nothing is lost."""

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp.runs.config import ConfigError

PACKAGES = (
    "genexp",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "torch-fidelity",
    "numpy",
)


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def git_state() -> dict[str, Any]:
    """Commit of the code that runs and whether it was changed since; empty outside a repository."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if git("ls-files", "--error-unmatch", __file__):
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {}


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
        return folder

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

    def config(self) -> DictConfig:
        """The config as composed, interpolations included: paths from the environment are found anew."""
        return OmegaConf.load(self.config_file)

    def begin(self, config: DictConfig, overrides: list[str], choices: dict[str, str]) -> None:
        """Claim the folder for a new run.

        Args:
            config: the composed config.
            overrides: what it was composed with.
            choices: the option of every config group.

        Raises:
            ConfigError: it already holds a run.
        """
        if self.config_file.exists():
            state = self.status().get("state", "unknown")
            raise ConfigError(f"name={config.name}: {self.path} already holds a run ({state}); choose another name")
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        write_atomically(self.config_file, OmegaConf.to_yaml(config))
        write_atomically(self.config_file.with_name("resolved.yaml"), OmegaConf.to_yaml(config, resolve=True))
        write_atomically(self.config_file.with_name("overrides.yaml"), OmegaConf.to_yaml(overrides))
        write_atomically(self.config_file.with_name("choices.yaml"), OmegaConf.to_yaml(choices))
        self.set_status(
            "running",
            started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=" ".join(sys.argv),
            python=platform.python_version(),
            machine=f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            versions={package: version(package) for package in PACKAGES},
            git=git_state(),
        )

    def discard_if_empty(self) -> None:
        """Remove the folder if nothing was written into it."""
        if self.path.is_dir() and not any(self.path.iterdir()):
            self.path.rmdir()

    def status(self) -> dict[str, Any]:
        """What ``status.json`` holds: ``state`` is running, done, failed or interrupted."""
        path = self.path / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def set_status(self, state: str, **entries: Any) -> None:
        """Change the state, keep the other entries, add ``entries`` and the time."""
        status = {**self.status(), "state": state, **entries, "updated": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
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
