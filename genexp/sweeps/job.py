"""One job of a sweep: its name, its folder, and how it ended."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder

LONGEST = 100
"""Characters of a job's name."""
CONFIG_ERROR = 2
"""Exit code of a run whose config is wrong."""


@dataclass
class Job:
    """What a sweep runs once.

    Attributes:
        name: of the job, and of its folder.
        point: the overrides of the sweeper.
        folder: where its run is, or will be.
        config: resolved, without Hydra's node; empty if it does not compose.
        identity: what makes it this run and no other.
        action: run, resume, done (nothing is left to do), twin (another job is the same run) or invalid.
        detail: of the action: how far an earlier run came, the twin's name, the error.
        error: why the config is invalid.
        images: that an earlier run has seen.
    """

    name: str
    point: list[str]
    folder: RunFolder
    config: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)
    action: str = "run"
    detail: str = ""
    error: Exception | None = None
    images: int = 0


def job_name(point: Sequence[str]) -> str:
    """``model_made-seed_0`` for the overrides ``model=made`` and ``seed=0``: nothing that a path or a shell would have to
    quote; with a hash of the overrides where characters were replaced or left out."""
    words, is_exact = [], True
    for item in point:
        key, _, value = item.partition("=")
        safe = re.sub(r"[^\w.+-]", "_", value)
        is_exact &= safe == value
        words.append(re.sub(r"[^\w.+-]", ".", key.lstrip("+~")) + f"_{safe}")
    name = "-".join(words) or "job"
    if is_exact and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256("\n".join(point).encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9].rstrip('-')}-{digest}"


def record_failure(folder: RunFolder, before: dict[str, Any], state: str, error: str, **entries: Any) -> None:
    """Give a job that ended without a word a status; one that the run wrote itself stays.

    Args:
        folder: of the job.
        before: the status when the job began.
        state: failed or interrupted.
        error: one line.
        entries: further entries of the status.
    """
    try:
        now = folder.status()
    except ConfigError:  # damaged: the run itself told so
        return
    is_silent = now == before or now.get("state") == "running"
    is_of_another = now == before and (
        now.get("state") == "done" or (now.get("state") == "running" and entries.get("exit_code") == CONFIG_ERROR)
    )
    if is_silent and not is_of_another:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.set_status(state, error=error, **entries)
