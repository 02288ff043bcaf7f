"""Config-driven experiments for generative models: every family under one protocol."""

from typing import Any

__version__ = "0.1.0"


def load(run: Any, checkpoint: str = "best", allow_targets: tuple[str, ...] = ()) -> Any:
    """The trained model of a run folder; see :func:`genexp.runs.evaluate.load`, imported when it is called."""
    from genexp.runs.evaluate import load as load_run

    return load_run(run, checkpoint, allow_targets)
