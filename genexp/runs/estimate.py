"""How long a sweep takes."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from genexp.runs.job import Job


def estimate(jobs: Sequence[Job], outputs: Path, probe: bool) -> list[float | None]:
    return [None for _ in jobs]


class Clock:
    def __init__(self, jobs: Sequence[Job], seconds: Sequence[float | None], n_jobs: int, console: Console) -> None:
        pass

    def announce(self) -> None:
        pass

    def job_ended(self, folder: Path, seconds: float) -> None:
        pass
