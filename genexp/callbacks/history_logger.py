"""The history of a run as a logger, for callbacks that write their values to one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger


class HistoryLogger(Logger):
    """Writes into ``metrics.csv`` what Lightning gives its loggers: the values of ``log`` in a callback, and those of callbacks
    that ask for a logger themselves. Without one all that would be lost, or refused, in a run that has no other logger.

    Args:
        add: writes rows of the history, by name.
        folder: of the run, where a callback that asks the logger for a place may write.
    """

    def __init__(self, add: Callable[[Mapping[str, float]], None], folder: Path) -> None:
        super().__init__()
        self.add, self.folder = add, folder

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The config is in the folder already."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """A row for each value but those of validations, which the history has anyway."""
        own = {name: float(value) for name, value in metrics.items() if name != "epoch" and not name.startswith("val/")}
        self.add(own)
