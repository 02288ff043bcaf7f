"""What a sweep is about to do, found out before it starts: every job's config composed, checked and looked up on disk."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.identity import differing, identity
from genexp.record.small_files import DamagedFile
from genexp.sweeps.estimate import RemainingTime, estimate
from genexp.sweeps.job import Job


def runs_in(folder: Path) -> list[RunFolder]:
    """The run folders of a sweep; not those of debug runs, which give way."""
    found = sorted(folder.glob("*/status.json")) if folder.is_dir() else []
    return [run for run in (RunFolder(path.parent) for path in found) if not _is_debug(run)]


def _is_debug(run: RunFolder) -> bool:
    try:
        return run.debug() is not None
    except DamagedFile:
        return False


def identity_of(run: RunFolder) -> dict[str, str] | None:
    """Of a run on disk; None if it ended before it had a config, or that is damaged."""
    try:
        return identity(run.resolved())
    except DamagedFile:
        return None


def refuse_existing(folder: Path) -> None:
    """Refuse to begin a sweep where there is one.

    Raises:
        ConfigError: ``folder`` holds runs.
    """
    if count := len(runs_in(folder)):
        raise ConfigError(
            f"name={folder.name}: {folder} already holds {count} run{'s' * (count > 1)}; resume=true continues "
            "the sweep and leaves alone what is done, or choose another name"
        )


def look_up(jobs: Sequence[Job], folder: Path, resume: bool) -> None:
    """Decide what is to be done for every job: a run of the same identity is that job, whatever its folder is called.

    Args:
        jobs: of one batch; their ``action``, ``detail``, ``name`` and ``folder`` are set.
        folder: of the sweep.
        resume: whether earlier runs in it are continued.

    Raises:
        ConfigError: a folder has the name of a job and another run in it; two jobs have one name.
    """
    earlier = {run.path: identity_of(run) for run in (runs_in(folder) if resume else [])}
    owner = {_frozen(found): path for path, found in earlier.items() if found is not None}
    seen: dict[Any, Job] = {}
    names: dict[str, Job] = {}
    for job in jobs:
        if job.error is not None:
            continue
        key = _frozen(job.identity)
        if key in seen:
            job.action, job.detail = "twin", seen[key].name
            continue
        seen[key] = job
        if path := owner.get(key):
            job.folder, job.name = RunFolder(path), path.name
            _take_up(job)
        elif (there := earlier.get(job.folder.path)) is not None:
            keys = differing(there, job.identity)
            values = ", ".join(f"{k} ({there.get(k, 'absent')}, now {job.identity.get(k, 'absent')})" for k in keys[:4])
            raise ConfigError(
                f"{job.folder.path} holds a run of this name that differs in {values}{', ...' * (len(keys) > 4)}: set them "
                "back, or choose another name"
            )
        if (twin := names.setdefault(job.name, job)) is not job:
            keys = ", ".join(differing(twin.identity, job.identity)[:4])
            raise ConfigError(f"two jobs would be called {job.name}, and differ in {keys}")


def _frozen(leaves: dict[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(leaves.items())


def _take_up(job: Job) -> None:
    """Decide what is left to do in a folder that holds the job's run; nothing where it is damaged."""
    try:
        state = job.folder.state()
        rows = job.folder.rows()
    except DamagedFile as error:
        job.action, job.error, job.detail = "invalid", error, str(error)
        return
    if state in ("done", "pruned"):
        job.action = "done"
    elif any(job.folder.checkpoints.glob("*.ckpt")):
        job.images = max((int(row["images"]) for row in rows), default=0)
        job.action, job.detail = "resume", f"{state} after {job.images:,} images"
    else:
        job.detail = f"{state} before its first checkpoint"


WORDS = {"run": "run", "resume": "resume", "done": "skip: done", "twin": "skip: the same run as", "invalid": "invalid:"}


def show(jobs: Sequence[Job], console: Console) -> None:
    """Print the plan as a numbered list."""
    width = max(len(job.name) for job in jobs)
    for number, job in enumerate(jobs, 1):
        detail = f" ({job.detail})" if job.detail and job.action in ("run", "resume") else f" {job.detail}".rstrip()
        line = f"{number:4}  {job.name:{width}}  {WORDS[job.action]}{detail}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def plan_one(config: DictConfig, folder: RunFolder, console: Console) -> None:
    """Print what a single run would do, and for how long.

    Raises:
        ConfigError: its folder is taken.
    """
    resolved = OmegaConf.to_container(config, resolve=True)
    job = Job(config.name, [], folder, resolved, identity(resolved))
    if folder.holds_run() and not _is_debug(folder):
        if not config.resume:
            raise ConfigError(
                f"name={config.name}: {folder.path} already holds a run ({folder.state()}); resume=true continues it, "
                "or choose another name"
            )
        _take_up(job)
        if job.error is not None:
            raise job.error
    else:
        with suppress(OSError):  # holds something else
            folder.path.rmdir()  # Hydra made it
    show([job], console)
    todo = [job] if job.action in ("run", "resume") else []
    RemainingTime(todo, estimate(todo, folder.path.parent, True, os.environ, console), 1, console).announce()
