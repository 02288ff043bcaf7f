"""The training of a run: Lightning's trainer, from the beginning or from a checkpoint."""

from typing import Any

from genexp.callbacks.collapse import TrainingCollapsed
from genexp.callbacks.history import TrainingDiverged
from genexp.callbacks.stop import Stop
from genexp.runs.assemble import Assembled
from genexp.runs.resume import batches_done


def fit(run: Assembled, loggers: list[Any], stop: Stop, resumed: tuple[str, dict[str, Any]] | None) -> None:
    """Train until the first of the limits.

    Args:
        run: its parts.
        loggers: of the run.
        stop: tells that the run is asked to end.
        resumed: the checkpoint to continue from and its content, or None.

    Raises:
        TrainingDiverged, TrainingCollapsed: training cannot go on; says where the last good checkpoint is.
    """
    trainer, path = run.trainer, None
    trainer.loggers = loggers
    if resumed is not None:
        path, state = resumed
        if state["callbacks"]["Checkpoints"]["is_end"] == run.training.end:
            trainer.datamodule = run.data  # for the samples
            return
        run.data.skip(*batches_done(state))
    try:
        with stop.deferred():
            trainer.fit(run.model, datamodule=run.data, ckpt_path=path, weights_only=True)
    except (TrainingDiverged, TrainingCollapsed) as error:
        raise type(error)(f"{error}; {run.checkpoints.last_good()}") from error
