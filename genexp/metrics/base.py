"""What every metric shares: the capability it needs."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pytorch_lightning import LightningDataModule

from genexp.families.base import GenerativeModule
from genexp.record.values import Value


class Metric(ABC):
    """A measure of how good a model is. It asks for a capability, never for a family."""

    requires: ClassVar[tuple[type, ...]]
    """The model must be an instance of one of these."""

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        """Why this metric cannot be computed on this model and these data, by what the model's class can do and what the model
        says of its data; None if it can."""
        able = [capability for capability in self.requires if isinstance(model, capability)]
        if not able:
            needed = " or ".join(capability.__name__ for capability in self.requires)
            return f"needs {needed}, which {type(model).__name__} does not provide"
        reasons = [model.unfit(capability) for capability in able]
        return None if None in reasons else reasons[0]

    def prepare(self) -> None:  # noqa: B027 - nothing to prepare is the usual case
        """Look for whatever the metric needs from outside (weights, packages); called before training starts.

        Raises:
            FileNotFoundError: with what is missing, where it was looked for and what to do.
        """

    @abstractmethod
    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        """Measure.

        Args:
            model: in evaluation mode, on its device. Its ``context`` shows what long loops do.
            data: set up; ``data.loader(split)`` iterates over ``(x, y)`` batches of a split in its fixed
                order.
            split: ``train``, ``validation`` or ``test``.
            seed: all draws are keyed by it (``genexp.probability.randomness``).
        """
