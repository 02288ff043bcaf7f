"""What a model is told from outside: the draws of the step that it is in, the clock, and where progress is shown."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from genexp.probability.randomness import StepDraws


def one(step: Any) -> int:
    """The size of a step where all are alike."""
    return 1


class Track(Protocol):
    """Shows the progress of a long loop."""

    def __call__(
        self, steps: Iterable[Any], what: str, total: int | None = None, size: Callable[[Any], int] = one
    ) -> Iterable[Any]:
        """The steps themselves.

        Args:
            steps: of the loop.
            what: it does.
            total: their number, where ``len`` does not tell; or the sum of their sizes.
            size: of a step.
        """


def untracked(
    steps: Iterable[Any], what: str, total: int | None = None, size: Callable[[Any], int] = one
) -> Iterable[Any]:
    """Shows nothing."""
    return steps


def untold(text: str) -> None:
    """Says nothing."""


@dataclass
class Context:
    """Shared by a model and the models inside it.

    Attributes:
        draws: where noise comes from during a training or validation step; None outside of one.
        images_seen: training examples so far, over all processes: the clock of schedules and of the history.
        steps: training steps so far; one generator update is one step, whatever the number of optimizers and of batches.
        track: shows the loops of samplers and metrics; who has a terminal sets it.
        counts: how many examples of the present batch this process has, and all of them; None where each has as many as this one.
            0 here is a stand-in that does not count.
        doing: called with what the loops that follow belong to.
        note: called with a line for a person.
    """

    draws: StepDraws | None = None
    images_seen: int = 0
    steps: int = 0
    counts: tuple[int, int] | None = None
    track: Track = untracked
    doing: Callable[[str], None] = untold
    note: Callable[[str], None] = untold
