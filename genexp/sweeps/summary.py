"""How a sweep came out, read from its run folders."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.reports.plots import plot
from genexp.sweeps.job import CONFIG_ERROR, Job
from genexp.terminal import bold

NOT_BEGUN = "not begun"
GONE = {
    "running": "it runs elsewhere",
    "killed": "its process was killed",
    "lost": "its process on another machine has given no sign of life for minutes",
}
"""What is said of a job whose run has not ended."""


@dataclass
class Outcome:
    """Of one job.

    Attributes:
        folder: of its run, with the values if it is done.
        state: done, pruned, debug, failed, interrupted, or not begun.
        error: one line; empty if it did not fail.
        is_config_error: whether the config was wrong, rather than the run.
    """

    folder: RunFolder
    state: str
    error: str = ""
    is_config_error: bool = False


def outcome(job: Job) -> Outcome:
    """How a job stands, whoever ran it."""
    if job.error is not None:
        return Outcome(job.folder, "failed", job.detail, True)
    try:
        status, state = job.folder.status(), job.folder.state()
    except ConfigError as error:
        return Outcome(job.folder, "failed", str(error))
    if not status:
        return Outcome(job.folder, NOT_BEGUN)
    if state in GONE:
        return Outcome(job.folder, "failed", GONE[state])
    is_config_error = state == "failed" and status.get("exit_code") == CONFIG_ERROR  # not of an earlier attempt
    return Outcome(job.folder, state, " ".join(str(status.get("error", "")).split()), is_config_error)


def summarise(jobs: Sequence[Job], folder: Path, repeat: Sequence[str], plots: Sequence[str], console: Console) -> int:
    """Print what became of every job, draw the plots, and print what to do next.

    Args:
        jobs: all jobs of the sweep.
        folder: of the sweep.
        repeat: the command that was given.
        plots: which are drawn; see :func:`genexp.reports.plots.plot`.
        console: where to write.

    Returns:
        The exit code: 0, or 1 if any job failed, or 2 if all did because of their config.
    """
    ended = {job.name: outcome(job) for job in jobs if job.action not in ("done", "twin")}
    count = {
        state: sum(o.state == state for o in ended.values())
        for state in ("done", "pruned", "debug", "failed", "interrupted", NOT_BEGUN)
    }
    skipped = sum(job.action == "done" for job in jobs)
    twins = sum(job.action == "twin" for job in jobs)
    parts = [f"{n} {state}" for state, n in count.items() if n]
    parts += [f"{skipped} skipped (done before)"] * bool(skipped) + [f"{twins} named twice"] * bool(twins)
    console.print(bold(str(folder), f": {', '.join(parts) or 'nothing to do'}"))
    failed = {name: o for name, o in ended.items() if o.state == "failed"}
    for name, end in failed.items():
        log = end.folder.path / "log.txt"
        where = f"  ({log})" if log.exists() else ""
        console.print(f"  {name}: {end.error}{where}", markup=False)
    if any(o.state not in ("done", "pruned", "debug") for o in ended.values()):
        words = [word for word in repeat if not word.startswith("resume=")]
        console.print(f"to continue: {shlex.join([*words, 'resume=true'])}", markup=False)
    if count["done"] or skipped:
        for what in plots:
            try:
                plot([str(folder)], what, None, console)
            except ConfigError as error:
                console.print(f"  {error}", markup=False)
        console.print(f"to compare:  genexp compare {folder}", markup=False)
    if not failed:
        return 0
    return CONFIG_ERROR if len(failed) == len(ended) and all(o.is_config_error for o in failed.values()) else 1
