"""The end of a run whose training has collapsed: a value that stays below what it should."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import Callback


class TrainingCollapsed(RuntimeError):
    """A training value has stayed below its threshold for too long."""


class Collapse(Callback):
    """Watches training values and ends the run with :class:`TrainingCollapsed` when one stays below its threshold. The
    history hands on the means that it logs, so that no step waits for the device.

    Args:
        images: training images, over all processes, for which a value may stay below.
        below: thresholds by name of a training value, as it is logged without ``train/``; None for one that does not count.
    """

    def __init__(self, images: int, below: Mapping[str, float | None]) -> None:
        self.images = images
        self.below = {name: threshold for name, threshold in below.items() if threshold is not None}
        self._since: dict[str, int] = {}
        self._looked = 0

    @property
    def is_suspected(self) -> bool:
        """Whether a value was below its threshold when it was last logged."""
        return bool(self._since)

    def state_dict(self) -> dict[str, Any]:
        return {"since": self._since, "looked": self._looked}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._since, self._looked = state_dict["since"], state_dict["looked"]

    def look(self, means: Mapping[str, float], images: int) -> None:
        """Take notice of means over the last steps.

        Args:
            means: training values by name.
            images: seen so far.

        Raises:
            TrainingCollapsed: a value has been below its threshold for ``self.images``.
            ValueError: training has no such value.
        """
        for name, threshold in self.below.items():
            if name not in means:
                raise ValueError(f"training.collapse.below.{name}: training logs {', '.join(means)}")
            if not means[name] < threshold:
                self._since.pop(name, None)
            elif images - self._since.setdefault(name, self._looked) >= self.images:
                raise TrainingCollapsed(
                    f"{name} has been below {threshold:g} since {self._since[name]:,} images and is {means[name]:.4g} "
                    f"at {images:,}: training has collapsed"
                )
        self._looked = images
