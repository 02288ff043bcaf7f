"""W&B's files of a run, read without a server."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.record.provenance import write_atomically
from genexp.reports.comparison import find_runs


def parts(folder: Path) -> list[Path]:
    """The ``run-<id>.wandb`` files of a run folder, oldest first: one for the training and for every resumption or
    evaluation."""
    found = [path for pattern in ("offline-run-*", "run-*") for path in folder.glob(f"wandb/{pattern}/run-*.wandb")]
    return sorted(found, key=lambda path: path.parent.name.removeprefix("offline-"))


def read(path: Path) -> tuple[list[dict[str, Any]], str]:
    """What W&B's own reader makes of a ``.wandb`` file.

    Returns:
        The records, each a dictionary with its ``type``, and what the reader found wrong with the file, or "".

    Raises:
        ConfigError: it cannot read the file.
    """
    text, complaint = _inspect(path)
    return [json.loads(line) for line in text.splitlines()], complaint


def _inspect(path: Path, *options: str) -> tuple[str, str]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    complaint = " ".join(done.stderr.split())
    if done.returncode:
        raise ConfigError(f"{path} cannot be read: {complaint}")
    return done.stdout, complaint


def next_step(folder: Path) -> int:
    """The W&B step after the last one in the files of a run folder; 0 without any."""
    steps = [
        int(r["history"]["step"]["num"]) for path in parts(folder) for r in read(path)[0] if r["type"] == "history"
    ]
    return max(steps, default=-1) + 1


def export(paths: list[str], output: Path, console: Console) -> None:
    """Write the W&B files of runs as ``<output>/<run>/history.csv``, ``summary.json`` and ``config.json``.

    Args:
        paths: run folders, or folders that hold some.
        output: where the files go; a run's folder there is named after its place under the given folder.
        console: where to tell of what was written, and of files that end too early or are damaged.

    Raises:
        ConfigError: a folder holds no run, or none of them was logged with W&B.
    """
    runs = [run for run in find_runs(paths) if parts(run.path)]
    if not runs:
        raise ConfigError(f"{', '.join(paths)}: no run in it has W&B files (wandb/offline-run-* or wandb/run-*)")
    common = Path(os.path.commonpath([run.path.resolve().parent for run in runs]))
    for run in runs:
        history: list[dict[str, Any]] = []
        about: dict[str, Any] = {}
        config: dict[str, Any] = {}
        summary: dict[str, Any] = {}
        for path in parts(run.path):
            records, complaint = read(path)
            if complaint:
                console.print(f"  {path}: {complaint}", style="yellow", highlight=False, soft_wrap=True)
            history += [record["history"]["item"] for record in records if record["type"] == "history"]
            for record in records:
                if record["type"] == "run":
                    names = ("run_id", "display_name", "project", "entity", "run_group", "job_type", "tags")
                    about |= {name: record["run"][name] for name in names if name in record["run"]}
            state = json.loads(_inspect(path, "--summary")[0])
            config |= state["config"]
            summary |= state["summary"]
        target = output / run.path.resolve().relative_to(common)
        target.mkdir(parents=True, exist_ok=True)
        columns = list(dict.fromkeys(key for row in history for key in row))
        with open(target / "history.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(history)
        write_atomically(target / "summary.json", json.dumps(summary, indent=2) + "\n")
        write_atomically(target / "config.json", json.dumps(about | {"config": config}, indent=2) + "\n")
        console.print(f"{target}: {len(history)} rows of {about.get('run_id')}", highlight=False, soft_wrap=True)
