"""Launcher of a sweep with Ray, on one machine or many."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.sweeps.launcher import TICK_S, RunningJob, SubprocessLauncher, cpu_count
from genexp.sweeps.process import PARENT


def run(command: Sequence[str], folder: str, label: str, where: str, stop: str) -> tuple[str | None, float]:
    """In a worker of Ray: run one job as a process, which ends with the worker.

    Args:
        command: of the job.
        folder: of the job, seen from ``where``.
        label: what stands before every line of its output.
        where: the working folder.
        stop: a file whose appearance asks for the end: Ray itself would kill the process.

    Returns:
        Its error in one line, or None, and its wall time in seconds.
    """
    os.chdir(where)
    if os.path.exists(stop):
        return "not begun", 0.0
    started = time.monotonic()
    environment = {**os.environ, PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    job = RunningJob(command, RunFolder(folder), environment, label)
    stopped_by = None
    while job.process.poll() is None:
        job.show()
        if stopped_by is None and os.path.exists(stop):
            stopped_by = signal.SIGTERM
            job.signal(stopped_by)
        time.sleep(TICK_S)
    seconds = time.monotonic() - started
    return job.settle(stopped_by, seconds), seconds


class RayLauncher(SubprocessLauncher):
    """Runs each job as ``python -m genexp train ...`` where Ray finds room for it. A signal ends the running jobs, each with
    a checkpoint, and no new one starts.

    Args:
        num_cpus: of a job.
        num_gpus: of a job.
        init: arguments of ``ray.init``.
    """

    def __init__(self, num_cpus: float, num_gpus: float, init: Mapping[str, Any]) -> None:
        super().__init__(n_jobs=max(1, int(cpu_count() // num_cpus)), gpus_per_job=0)
        self.resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        self.init = dict(init)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra.

        Raises:
            ConfigError: Ray is not installed.
        """
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        if find_spec("ray") is None:
            raise ConfigError("hydra/launcher=ray_subprocess needs Ray: pip install 'genexp[ray]'")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; those that Ray lost, e.g. with their machine, are continued by the next sweep with resume=true."""
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # lines that jobs have in common are shown for each
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without num_gpus a job sees all GPUs
        import ray

        returns = [JobReturn(overrides=list(o), status=JobStatus.UNKNOWN) for o in job_overrides]
        stop = Path(self.hydra.sweep.dir) / ".stop"
        stop.unlink(missing_ok=True)
        ray.init(**self.init)
        try:
            with self._signals({}):  # after Ray has set handlers of its own, which abort
                self._run(job_overrides, initial_job_idx, returns, stop)
        finally:
            ray.shutdown()
            stop.unlink(missing_ok=True)
        return returns

    def _run(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int, returns: list[JobReturn], stop: Path
    ) -> None:
        import ray

        remote = ray.remote(**self.resources, max_retries=0)(run)
        running = {}
        for number, overrides in enumerate(job_overrides):
            name, folder, command = self.command(overrides, initial_job_idx + number)
            running[remote.remote(command, folder, f"[{name}] ", os.getcwd(), str(stop))] = number, folder
        while running:
            done, _ = ray.wait(list(running), timeout=TICK_S)
            for task in done:
                number, folder = running.pop(task)
                try:
                    error, seconds = ray.get(task)
                except ray.exceptions.RayError as lost:
                    error, seconds = " ".join(str(lost).split()), 0.0
                returns[number].status = JobStatus.FAILED if error else JobStatus.COMPLETED
                returns[number].return_value = RuntimeError(error) if error else None
                self.on_end(Path(folder), seconds)
            if self.stopped_by is not None and not stop.exists():
                stop.touch()
