"""W&B's files of a run, read without a server."""

import csv
import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.provenance import write_atomically
from genexp.record.small_files import DamagedFile
from genexp.reports.comparison import find_runs
from genexp.reports.output import writing

Row = dict[str, Any]


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
    try:
        return [json.loads(line) for line in text.splitlines()], complaint
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _inspect(path: Path, *options: str) -> tuple[str, str]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    complaint = " ".join(done.stderr.split())
    if done.returncode:
        raise ConfigError(f"{path} cannot be read: {complaint}")
    return done.stdout, complaint


def next_step(folder: Path) -> int:
    """The W&B step after the last one in the files of a run folder; 0 without any."""
    steps = [-1]
    for path in parts(folder):
        try:
            steps += [int(r["history"]["step"]["num"]) for r in read(path)[0] if r["type"] == "history"]
        except ConfigError:  # not more than the run has logged
            steps.append(len(RunFolder(folder).rows()))
    return max(steps) + 1


def export(paths: list[str], output: Path, console: Console) -> None:
    """Write the W&B files of runs as ``<output>/<run>/history.csv``, ``summary.json`` and ``config.json``.

    What W&B's own files lost, as after a process that was killed, comes from the run folder: rows of the history from
    ``metrics.csv``, values from ``metrics.json``, the config as it was recorded.

    Args:
        paths: run folders, or folders that hold some.
        output: where the files go; a run's folder there is named after its place under the given folder.
        console: where to tell of what was written, and of files that end too early or are damaged.

    Raises:
        ConfigError: a folder holds no run, none of them was logged with W&B, or the output cannot be written.
    """
    runs = [run for run in find_runs(paths) if parts(run.path)]
    if not runs:
        raise ConfigError(f"{', '.join(paths)}: no run in it has W&B files (wandb/offline-run-* or wandb/run-*)")
    common = Path(os.path.commonpath([run.path.resolve().parent for run in runs]))
    for run in runs:
        target = output / run.path.resolve().relative_to(common)
        with writing("--output", target):
            target.mkdir(parents=True, exist_ok=True)
        try:
            history, about, config, summary = _whole(run, console)
            found, rows = fill(history, run.rows())
            summary = {r["key"]: r["value"] for r in run.metrics() if r["checkpoint"] == "best"} | summary
            config = {k: v for k, v in run.resolved().items() if k != "logger"} | config
        except DamagedFile as error:
            if len(runs) == 1:
                raise
            console.print(f"  left out: {error}", highlight=False, soft_wrap=True)
            continue
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with writing("--output", target):
            with open(target / "history.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
            summary = {name: value for name, value in summary.items() if value is not None}
            write_atomically(target / "summary.json", json.dumps(summary, indent=2) + "\n")
            write_atomically(target / "config.json", json.dumps(about | {"config": config}, indent=2) + "\n")
        source = f", {found} of them from metrics.csv" if found else ""
        line = f"{target}: {len(rows)} rows of {about.get('run_id')}{source}"
        console.print(line, highlight=False, soft_wrap=True)


def _whole(run: RunFolder, console: Console) -> tuple[list[Row], Row, Row, Row]:
    """History, names, config and summary of a run, put together from the parts in its folder as far as they can be read."""
    history: list[Row] = []
    about: Row = {}
    config: Row = {}
    summary: Row = {}
    for path in parts(run.path):
        try:
            records, complaint = read(path)
            state = json.loads(_inspect(path, "--summary")[0])
        except (ConfigError, ValueError) as error:
            records, state, complaint = [], {}, str(error).removeprefix(f"{path} ")
        if complaint:
            console.print(f"  {path}: {complaint}", style="yellow", highlight=False, soft_wrap=True)
        history += [record["history"]["item"] for record in records if record["type"] == "history"]
        for record in records:
            if record["type"] == "run":
                names = ("run_id", "display_name", "project", "entity", "run_group", "job_type", "tags")
                about |= {name: record["run"][name] for name in names if name in record["run"]}
        config |= state.get("config", {})
        summary |= state.get("summary", {})
    about.setdefault("run_id", run.status().get("wandb", {}).get("id"))
    return history, about, config, summary


def fill(history: list[Row], recorded: list[dict[str, str]]) -> tuple[int, list[Row]]:
    """Put into a history what it lacks of the run's own record.

    Args:
        history: rows of W&B; those with ``images`` are in their order.
        recorded: rows of ``metrics.csv``, one for each value.

    Returns:
        How many rows were added, and all rows; an added one has ``images`` and the values that were logged at that point.
    """
    there = {(int(float(row["images"])), name) for row in history if row.get("images") is not None for name in row}
    added: dict[tuple[int, str], Row] = {}
    for row in recorded:
        images, name = int(row["images"]), row["metric"]
        if (images, name) not in there:
            kind = name.partition("/")[0]  # training losses and validation come one after the other
            added.setdefault((images, kind), {"images": images})[name] = float(row["value"])
    waiting = deque(sorted(added.values(), key=lambda row: row["images"]))
    rows: list[Row] = []
    for row in history:
        while row.get("images") is not None and waiting and waiting[0]["images"] < float(row["images"]):
            rows.append(waiting.popleft())
        rows.append(row)
    return len(added), [*rows, *waiting]
