"""Config-driven experiments for generative models: every family under one protocol."""

import os
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    # Threads of GNU OpenMP, which torch brings, spin while they wait for each other. Where other processes have some of the
    # cores, what they wait for does not run meanwhile: two threads were then slower than one. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.4.0"


def load(run: Any, checkpoint: str = "best", allow_targets: tuple[str, ...] = ()) -> Any:
    """The trained model of a run folder; see :func:`genexp.runs.loading.load`, imported when it is called."""
    from genexp.runs.loading import load as load_run

    return load_run(run, checkpoint, allow_targets)


def results(runs: Any) -> Any:
    """The final values of runs as a pandas frame; see :func:`genexp.reports.results.results`, imported when it is called."""
    from genexp.reports.results import results as results_of

    return results_of(runs)
