"""The process of a sweep's job: the command that runs it alone, and its end when the sweep's own process is gone."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlparse

PARENT = "GENEXP_PARENT"
"""Environment variable with the id of the process whose end a job does not survive."""
PR_SET_PDEATHSIG = 1
OF_THE_SWEEP = (
    "hydra.mode",
    "hydra.sweep",
    "hydra/sweeper",
    "hydra.sweeper",
    "hydra/launcher",
    "hydra.launcher",
    "hydra.run",
)
"""Overrides that never reach a job."""


def die_with_parent() -> None:
    """If a sweep started this process, ask Linux for SIGTERM when the sweep ends, however it ends: the run is then saved,
    and nothing goes on unseen. Elsewhere this does nothing."""
    parent = os.environ.pop(PARENT, None)  # not for the job's own children, whose parent it is
    if parent is None and multiprocessing.parent_process() is None:  # of joblib's workers there is one
        return
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent is not None and os.getppid() != int(parent):  # it ended before the call
            os.kill(os.getpid(), signal.SIGTERM)


def quoted(value: str) -> str:
    """A value that Hydra's grammar reads as this very string."""
    return "'" + value.replace("\\'", "\\\\'").replace("'", "\\'") + "'"


def arguments(hydra: Any, overrides: Sequence[str], folder: str) -> list[str]:
    """What follows ``genexp train`` in the command of one job.

    Args:
        hydra: the node ``hydra`` of the sweep's config.
        overrides: of the job.
        folder: where its run goes.

    Returns:
        Nothing in it tells of a sweep: Lightning starts the further processes of a distributed run with the same words.
    """
    sources = [urlparse(s.path).path for s in hydra.runtime.config_sources if s.provider == "command-line"]
    options = [word for path in sources for word in ("--config-dir", path)]
    kept = [o for o in [*hydra.overrides.hydra, *overrides] if not o.lstrip("+~").startswith(OF_THE_SWEEP)]
    return [*options, *kept, "hydra.mode=RUN", f"hydra.run.dir={quoted(folder)}"]
