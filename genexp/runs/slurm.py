"""Slurm: a job that is about to be preempted goes back into the queue, and continues when it is started again."""

import os
import signal
import subprocess

from rich.console import Console

from genexp.callbacks.stop import Stop


def is_restarted() -> bool:
    """Whether this is a Slurm job that ran before, was put back into the queue and is started again."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0


def requeue(signum: int, stop: Stop, console: Console) -> None:
    """After a checkpoint was saved on SIGUSR1 or SIGUSR2: let the launcher that listened to the signal requeue the job, or
    ask Slurm to. Other signals do nothing.

    Args:
        signum: what ended the run.
        stop: its ``previous`` handlers.
        console: where to say so.
    """
    if signum not in (signal.SIGUSR1, signal.SIGUSR2):
        return
    if callable(launcher := stop.previous.get(signum)):
        launcher(signum, None)
        return
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    outcome = "goes back into the queue" if done.returncode == 0 else f"could not be requeued: {done.stderr.strip()}"
    console.print(f"  Slurm job {job} {outcome}", highlight=False, soft_wrap=True)
