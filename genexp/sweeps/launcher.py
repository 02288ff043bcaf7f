"""Launcher of a sweep whose jobs share nothing: each runs in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.variables import AGENT
from genexp.sweeps.job import record_failure
from genexp.sweeps.process import PARENT, arguments
from genexp.terminal import harmless

TICK_S = 0.1
LAST_LINES = 10
"""Lines of a log that the status of a job that died has."""
ERROR = "genexp: error: "


class RunningJob:
    """A job's process. Its output goes to its log, also when nobody reads it any more; what is new there is shown.

    Args:
        command: to run.
        folder: of the job.
        environment: of the process.
        label: what stands before every shown line.
    """

    def __init__(self, command: Sequence[str], folder: RunFolder, environment: dict[str, str], label: str) -> None:
        self.folder, self.label = folder, label
        self.before = folder.status()
        folder.path.mkdir(parents=True, exist_ok=True)
        self.log = folder.path / "log.txt"
        with open(self.log, "ab") as file:
            self.begin = self._shown = file.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
            )

    def show(self, is_last: bool = False) -> None:
        """Print the lines that were added to the log."""
        with open(self.log, "rb") as file:
            file.seek(self._shown)
            new = file.read()
        whole = new if is_last else new[: new.rfind(b"\n") + 1]
        self._shown += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            print(f"{self.label}{harmless(line)}", flush=True)

    def settle(self, stopped_by: int | None, seconds: float) -> str | None:
        """After the end: make sure that the folder tells of it.

        Args:
            stopped_by: the signal that was passed on to the job, if any.
            seconds: from start to end, recorded for time estimates.

        Returns:
            Its error in one line; None if all went well.
        """
        self.show(is_last=True)
        code = self.process.returncode
        if code == 0:
            with suppress(OSError):  # a full disk; the run itself is done
                self.folder.set_status(self.folder.status().get("state", "unknown"), job_seconds=round(seconds, 2))
            return None
        lines = self.log.read_bytes()[self.begin :].decode(errors="replace").split("\n")
        lines = [line for line in lines if line.strip()][-LAST_LINES:]
        told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
        if code < 0:
            error = f"killed by {signal.Signals(-code).name}"
        else:
            error = told[-1] if told else f"exit code {code}: {lines[-1] if lines else 'no output'}"
        is_stopped = stopped_by is not None and code in (-stopped_by, 128 + stopped_by)
        state = "interrupted" if is_stopped else "failed"
        record_failure(self.folder, self.before, state, error, exit_code=code, last_lines=lines)
        return error

    def signal(self, signum: int) -> None:
        """Pass a signal on; SIGKILL goes to all processes of the job."""
        try:
            if signum == signal.SIGKILL:
                os.killpg(self.process.pid, signum)
            else:
                self.process.send_signal(signum)
        except ProcessLookupError:
            pass


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that a process may use, by index or by id, found without loading CUDA."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


class SubprocessLauncher(Launcher):
    """Runs each job as ``python -m genexp train ...``, several at the same time; a job that fails costs the others nothing.

    SIGINT and SIGTERM are passed on to the running jobs, and no new one starts; a second one kills them.

    Args:
        n_jobs: processes at the same time; they share the cores, unless OMP_NUM_THREADS is set.
        gpus_per_job: how many of the visible GPUs a job gets to itself; 0 gives all to all.
    """

    def __init__(self, n_jobs: int, gpus_per_job: int) -> None:
        self.n_jobs, self.gpus_per_job = n_jobs, gpus_per_job
        self.stopped_by: int | None = None
        self.on_end: Callable[[Path, float], None] = lambda folder, seconds: None
        """Called after each job with its folder and its wall time."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra.

        Raises:
            ConfigError: ``n_jobs`` or ``gpus_per_job`` is impossible.
        """
        self.hydra = config.hydra
        n_jobs, gpus_per_job = self.n_jobs, self.gpus_per_job
        for name, value, least in (("n_jobs", n_jobs, 1), ("gpus_per_job", gpus_per_job, 0)):
            if not (isinstance(value, int) and value >= least):
                raise ConfigError(f"hydra.launcher.{name}={value}: must be a whole number of at least {least}")
        self.gpus = visible_gpus() if gpus_per_job else []
        if gpus_per_job and n_jobs * gpus_per_job > len(self.gpus):
            raise ConfigError(
                f"hydra.launcher.gpus_per_job={gpus_per_job}: {n_jobs} jobs at the same time need {n_jobs * gpus_per_job} "
                f"GPUs, and {len(self.gpus)} are visible"
            )

    def environment(self, slot: int) -> dict[str, str]:
        """Of a job in one of the ``n_jobs`` slots."""
        extra = {PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        if self.n_jobs > 1 and "OMP_NUM_THREADS" not in os.environ:
            extra["OMP_NUM_THREADS"] = str(max(1, cpu_count() // self.n_jobs))
        if self.gpus_per_job:
            mine = self.gpus[slot * self.gpus_per_job : (slot + 1) * self.gpus_per_job]
            extra["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        return {name: value for name, value in os.environ.items() if name not in AGENT} | extra

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; their folders come from the override ``hydra.sweep.subdir`` of each, else from its number."""
        waiting = list(enumerate(job_overrides))
        running: dict[int, tuple[int, float, RunningJob]] = {}
        returns = [JobReturn(overrides=list(o), status=JobStatus.UNKNOWN) for o in job_overrides]
        with self._signals(running):
            while running or (waiting and self.stopped_by is None):
                for slot in range(self.n_jobs):
                    if slot not in running and waiting and self.stopped_by is None:
                        number, overrides = waiting.pop(0)
                        job = self._start(overrides, initial_job_idx + number, slot)
                        running[slot] = (number, time.monotonic(), job)
                        if self.stopped_by is not None:  # while it was started
                            job.signal(self.stopped_by)
                for slot, (number, started, job) in list(running.items()):
                    job.show()
                    if job.process.poll() is not None:
                        del running[slot]
                        seconds = time.monotonic() - started
                        error = job.settle(self.stopped_by, seconds)
                        returns[number].status = JobStatus.FAILED if error else JobStatus.COMPLETED
                        returns[number].return_value = RuntimeError(error) if error else None
                        self.on_end(job.folder.path, seconds)
                time.sleep(TICK_S)
        return returns

    def command(self, overrides: Sequence[str], number: int) -> tuple[str, str, list[str]]:
        """Of one job: its name, its folder, and the command that runs it."""
        key = "hydra.sweep.subdir="
        subdir = next((o.removeprefix(key).strip("'") for o in overrides if o.startswith(key)), str(number))
        folder = os.path.join(self.hydra.sweep.dir, subdir)
        return subdir, folder, [sys.executable, "-m", "genexp", "train", *arguments(self.hydra, overrides, folder)]

    def _start(self, overrides: Sequence[str], number: int, slot: int) -> RunningJob:
        name, folder, command = self.command(overrides, number)
        label = f"[{name}] " if self.n_jobs > 1 else ""
        return RunningJob(command, RunFolder(folder), self.environment(slot), label)

    @contextmanager
    def _signals(self, running: dict[int, tuple[int, float, RunningJob]]) -> Iterator[None]:
        def pass_on(signum: int, frame: Any) -> None:
            passed = signum if self.stopped_by is None else signal.SIGKILL
            self.stopped_by = self.stopped_by or signum
            for _, _, job in running.values():
                job.signal(passed)

        previous = {s: signal.signal(s, pass_on) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)
