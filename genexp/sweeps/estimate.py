"""How long a sweep takes: from finished runs like its jobs on this machine, or from a short measurement."""

import heapq
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.record.folder import RunFolder
from genexp.record.identity import identity, without
from genexp.record.small_files import DamagedFile
from genexp.runs.train_config import planned_images
from genexp.sweeps.job import Job

LENGTH = ("seed", "data.seed", "training.max_images", "training.max_steps", "training.max_epochs", "training.patience")
"""What decides how long a run goes on, not how long an image takes."""
NUMBER = r"-?\d+(\.\d*)?(e[+-]?\d+)?"
FRACTION = r"-?\d+(\.\d*(e[+-]?\d+)?|e[+-]?\d+)"
RECENT = 100
"""Finished runs that are looked at, newest first."""
PROBE_S = 180
"""A measurement that takes longer is given up; it is a matter of seconds, but not where other processes have the cores."""


@dataclass
class Speed:
    """Of a run: seconds for a training image, for all besides training, and images in an epoch where that is known."""

    image_s: float
    fixed_s: float
    epoch_images: int | None
    source: str


def shape(leaves: dict[str, str]) -> frozenset[tuple[str, str]]:
    """What decides how long an image takes: the identity of a run without its length, its seed, the numbers of its
    optimizers, and fractions such as learning rates and weights of losses."""

    def is_free(key: str, value: str) -> bool:
        of_optimizer = "optimizer" in key or "scheduler" in key
        return bool(re.fullmatch(NUMBER if of_optimizer else FRACTION, value))

    return frozenset((k, v) for k, v in without(leaves, LENGTH).items() if not is_free(k, v))


def speed_of(run: RunFolder) -> Speed | None:
    """Of a finished run on this machine; None if it does not tell."""
    status = run.status()
    machine = status.get("machine")
    is_here = isinstance(machine, dict) and machine.get("node") == platform.node()
    if status.get("state") != "done" or not is_here:
        return None
    rows = run.rows()
    images = max((int(row["images"]) for row in rows), default=0)
    if not images:
        return None
    training_s = max(float(row["seconds"]) for row in rows)
    whole_s = status.get("job_seconds") or _wall_s(status)
    fixed_s = 0.0 if status.get("resumed") else max(0.0, whole_s - training_s)
    first = [int(row["images"]) for row in rows if row["metric"].startswith("val/") and row["epoch"] == "0"]
    return Speed(training_s / images, fixed_s, min(first, default=None), "finished runs")


def _wall_s(status: Mapping[str, Any]) -> float:
    """Seconds from the start of a run to its end, without the start of Python; 0 where they are not told."""
    try:
        started, ended = (datetime.strptime(status[key], "%Y-%m-%dT%H:%M:%S%z") for key in ("started", "updated"))
    except (KeyError, ValueError):
        return 0.0
    return (ended - started).total_seconds()


def _changed(path: Path) -> float:
    """When a file was changed; 0 where it has just disappeared."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def finished(outputs: Path) -> dict[Any, Speed]:
    """Speeds of the finished runs below a folder, by the shape of their config."""
    found = [path for pattern in ("*/status.json", "*/*/status.json") for path in outputs.glob(pattern)]
    speeds: dict[Any, Speed] = {}
    for path in sorted(found, key=_changed, reverse=True)[:RECENT]:
        resolved = path.parent / ".hydra" / "resolved.yaml"
        run = RunFolder(path.parent)
        with suppress(DamagedFile):  # of another run: it tells nothing, and is told of where it matters
            if resolved.is_file() and (speed := speed_of(run)):
                speeds.setdefault(shape(identity(run.resolved())), speed)
    return speeds


def measure(configs: Sequence[dict[str, Any]], environment: Mapping[str, str]) -> list[Speed | str]:
    """Start one process and train a few steps of each config in it; of each its speed, or why it could not be measured."""
    command = [sys.executable, "-m", "genexp.sweeps.probe", str(time.time())]
    late = f"the measurement took longer than {PROBE_S} s"
    try:
        done = subprocess.run(
            command, input=json.dumps(configs).encode(), capture_output=True, env=environment, timeout=PROBE_S
        )
        output, late = done.stdout, "the measurement ended early"
    except subprocess.TimeoutExpired as timeout:
        output = timeout.stdout or b""
    found: list[Speed | str] = []
    for line in output.splitlines():
        with suppress(json.JSONDecodeError, TypeError):  # what a user's class prints, and a line that was cut off
            found.append(_as_speed(**json.loads(line)))
    return found + [late] * (len(configs) - len(found))


def _as_speed(*, image_s: float = 0.0, start_s: float = 0.0, epoch_images: int = 0, unknown: str = "") -> Speed | str:
    beside = " beside other work" if os.getloadavg()[0] > (os.cpu_count() or 1) else ""
    return unknown or Speed(image_s, start_s, epoch_images, f"a few steps{beside}; without the evaluation")


def seconds_of(job: Job, speed: Speed) -> float | None:
    """How long a job takes; None if its length is not known."""
    training, done = job.config["training"], job.images
    batches = training["accumulate_batches"] * job.config["model"].get("discriminator_steps", 1)  # of a step
    planned = planned_images(training, batches, speed.epoch_images)
    return None if planned is None else speed.fixed_s + max(0, planned - done) * speed.image_s


@dataclass
class Estimate:
    """Seconds of each job, by its folder, where they come from, and why those of others are not known."""

    seconds: dict[Path, float]
    sources: set[str]
    unknown: set[str]


def estimate(
    jobs: Sequence[Job], outputs: Path, probe: bool, environment: Mapping[str, str], console: Console
) -> Estimate:
    """How long jobs take.

    Args:
        jobs: with their configs.
        outputs: folder with earlier runs at most two levels down.
        probe: whether to measure what they do not tell.
        environment: of the process that measures.
        console: where to say that it does.
    """
    shapes = [shape(job.identity) for job in jobs]
    known: dict[Any, Speed | str] = dict(finished(outputs)) if jobs and outputs.is_dir() else {}
    unknown = {s: job.config for s, job in zip(shapes, jobs, strict=True) if s not in known}
    if probe and unknown:
        many = f" of {len(unknown)} configurations" if len(unknown) > 1 else ""
        console.print(f"  measuring the speed{many}, a few steps ...", style="dim", highlight=False)
        known |= zip(unknown, measure(list(unknown.values()), environment), strict=True)
    result = Estimate({}, set(), set())
    for job, key in zip(jobs, shapes, strict=True):
        speed = known.get(key, "no finished run is like it, and hydra.sweeper.probe=false")
        if isinstance(speed, str):
            result.unknown.add(speed)
        elif (seconds := seconds_of(job, speed)) is None:
            result.unknown.add("training.max_epochs, of data whose number of examples is not known")
        else:
            result.seconds[job.folder.path] = seconds
            result.sources.add(speed.source)
    return result


class RemainingTime:
    """Tells how much of a batch of jobs is done and how long the rest takes, corrected by how long the finished ones took.

    Args:
        jobs: to be run.
        expected: how long they take.
        n_jobs: at the same time.
        console: where to write.
    """

    def __init__(self, jobs: Sequence[Job], expected: Estimate, n_jobs: int, console: Console) -> None:
        self.waiting = [job.folder.path for job in jobs]
        self.expected, self.n_jobs, self.console, self.total = expected, n_jobs, console, len(jobs)
        self.took: dict[Path, float] = {}

    def left(self) -> float | None:
        """Seconds until the last job ends; None if nothing is known about one of them."""
        seconds = self.expected.seconds
        told = [(t, seconds[path]) for path, t in self.took.items() if seconds.get(path)]
        factor = sum(t for t, _ in told) / sum(e for _, e in told) if told else 1.0
        mean = sum(self.took.values()) / len(self.took) if self.took else None
        slots = [0.0] * self.n_jobs
        for path in self.waiting:
            one = seconds[path] * factor if path in seconds else mean
            if one is None:
                return None
            heapq.heapreplace(slots, slots[0] + one)
        return max(slots)

    def announce(self) -> None:
        """Before the start: how many jobs, how long, and how that is known."""
        if self.waiting:
            left = self.left()
            time = f"about {duration(left)} ({', '.join(sorted(self.expected.sources))})" if left else self._unknown()
            self.console.print(f"{self.total} job{'s' * (self.total > 1)} to run, {time}", markup=False)

    def _unknown(self) -> str:
        known = [self.expected.seconds[path] for path in self.waiting if path in self.expected.seconds]
        part = f", {len(known)} of them about {duration(sum(known) / self.n_jobs)}" if known else ""
        return f"time unknown{part} ({'; '.join(sorted(self.expected.unknown))})"

    def job_ended(self, path: Path, seconds: float) -> None:
        """One job ended, well or not, after so many seconds."""
        self.took[path] = seconds
        self.waiting.remove(path)
        if self.waiting:
            left = self.left()
            time = f", about {duration(left)} left" if left else ""
            self.console.print(f"{self.total - len(self.waiting)} of {self.total} ended{time}", markup=False)


def duration(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
