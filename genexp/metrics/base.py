"""What every metric shares: the value with its protocol, and the capability it needs."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from pytorch_lightning import LightningDataModule

from genexp.families.base import GenerativeModule


@dataclass(frozen=True)
class Value:
    """One number with all that is needed to compare it.

    Args:
        key: ``<split>/<metric>``, kind and protocol in the name, e.g. ``test/nll_bound_bpd_k5000``.
        value: the number.
        unit: ``nats``, ``bits/dim``, or "" for a pure number.
        kind: ``exact``, ``bound`` or ``estimate``.
        direction: ``min`` if smaller is better, ``max`` if larger is; None where neither is.
        n: number of examples it was computed on.
        stderr: standard error of ``value``, in the same unit; None where there is none.
        protocol: everything two values must share before they may be compared (data set, split, binarisation,
            extractor and its hash, number of samples, ...); plain strings and numbers.
        by_class: the same value on the examples of each label alone, by label: ``value``, ``stderr`` and ``n``; None where
            there are no labels.
        parts: the terms whose sum ``value`` is, by name: ``value`` and ``stderr``; None where it is no such sum.
    """

    key: str
    value: float
    unit: str
    kind: Literal["exact", "bound", "estimate"]
    direction: Literal["min", "max"] | None
    n: int
    stderr: float | None
    protocol: dict[str, Any]
    by_class: dict[str, dict[str, Any]] | None = None
    parts: dict[str, dict[str, Any]] | None = None

    def record(self) -> dict[str, Any]:
        """As a plain dictionary, for ``metrics.json``."""
        return asdict(self)


class Metric(ABC):
    """A measure of how good a model is. It asks for a capability, never for a family."""

    requires: ClassVar[tuple[type, ...]]
    """The model must be an instance of one of these."""

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        """Why this metric cannot be computed on this model and these data; None if it can."""
        if isinstance(model, self.requires):
            return None
        needed = " or ".join(capability.__name__ for capability in self.requires)
        return f"needs {needed}, which {type(model).__name__} does not provide"

    def prepare(self) -> None:  # noqa: B027 - nothing to prepare is the usual case
        """Look for whatever the metric needs from outside (weights, packages); called before training starts.

        Raises:
            FileNotFoundError: with what is missing, where it was looked for and what to do.
        """

    @abstractmethod
    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        """Measure.

        Args:
            model: in evaluation mode, on its device.
            data: set up; ``data.loader(split)`` iterates over ``(x, y)`` batches of a split in its fixed
                order.
            split: ``train``, ``validation`` or ``test``.
            seed: all draws are keyed by it (``genexp.probability.randomness``).
        """
