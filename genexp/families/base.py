"""The contract of every generative family.

A batch is ``(x, y)``. ``x`` lives in the data space: uint8 ``(B, *shape)`` with values in ``[0, levels)``, or
float32 ``(B, *shape)`` when ``levels`` is None. ``y`` is int64 ``(B,)`` with values in ``[0, num_classes)``, or None.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from genexp.families.slots.optimisation import OptimizerFactory, SchedulerFactory
from genexp.families.training_clock import TrainingClock
from genexp.ranges import at_least, inside

Drawn = TypeVar("Drawn")


class GenerativeModule(TrainingClock):
    """A generative model p(x), or p(x | y) when conditional, over the data space.

    Args:
        shape: shape of one example, e.g. (1, 28, 28) or (180,).
        levels: number of values a dimension can take; None for continuous data.
        num_classes: number of labels of the data set; None if it has none.
        conditional: model p(x | y) instead of p(x).
        optimizer, scheduler: see :class:`TrainingClock`.

    Raises:
        ValueError: the model is conditional and the data have no labels, or ``levels`` is below 2.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        levels: int | None,
        num_classes: int | None,
        conditional: bool,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler)
        if levels is not None:
            inside(2, 256, ends="[]", hint=" (uint8), or null for continuous data", levels=levels)
        if conditional and not num_classes:
            raise ValueError("conditional=true needs data with labels, but num_classes is null")
        self.shape = tuple(shape)
        self.levels = levels
        self.num_classes = num_classes
        self.conditional = conditional
        self.label_width = num_classes if conditional else 0
        """Width of a one-hot label as the networks receive it; 0 for an unconditional model."""
        self.reference_lines: dict[str, tuple[float, str]] = {}
        """Constants to compare a logged quantity with, such as its optimum, by its name: value and label."""

    units: ClassVar[Mapping[str, str]] = {}
    """Of the entries of :meth:`loss` that have one, by name, for plots."""

    @property
    def dims(self) -> int:
        """Number of dimensions of one example."""
        return int(torch.Size(self.shape).numel())

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Per-example training objective.

        Args:
            x: ``(B, *shape)`` in the data space.
            y: ``(B,)`` labels, or None; ignored by an unconditional model.

        Returns:
            Tensors of shape ``(B,)``. The entry ``loss`` is minimised; the others are logged.
        """

    initial_examples: int | None = 0
    """How many training examples :meth:`initialise` wants; None for all."""

    def initialise(self, x: Tensor, y: Tensor | None) -> None:
        """Set what depends on the data from training examples, once, before the first step of a run: never when one is resumed, nor
        where weights are loaded. Results are parameters or buffers, and so in every checkpoint.

        Args:
            x: ``(N, *shape)`` in the data space: :attr:`initial_examples` of them, chosen by the seed, or all where there are
                fewer; the same on every process.
            y: ``(N,)`` labels, or None.
        """

    @abstractmethod
    def draw(self, n: int, y: Tensor | None, **knobs: Any) -> Tensor:
        """Draw ``n`` examples ``(n, *shape)`` in the data space. Called by :meth:`sample` in evaluation mode, without
        gradients; ``y`` is ``(n,)`` if and only if the model is conditional."""

    def sample(self, n: int, y: Tensor | int | None = None, **knobs: Any) -> Tensor:
        """Draw from the model.

        Args:
            n: number of examples, at least 1.
            y: labels ``(n,)`` or one label for all, for a conditional model; None draws labels uniformly.
            knobs: options of the family's sampler, e.g. ``temperature``.

        Returns:
            ``(n, *shape)`` in the data space: uint8 in ``[0, levels)``, float32 if ``levels`` is None.

        Raises:
            ValueError: ``n`` < 1, labels that are no whole numbers, out of range or of the wrong number, labels for an
                unconditional model, or a knob that this sampler does not have.
        """
        return self.sample_by(self.draw, n, y, **knobs)

    def sample_by(self, draw: Callable[..., Drawn], n: int, y: Tensor | int | None = None, **knobs: Any) -> Drawn:
        """As :meth:`sample`, by :meth:`draw` or by another method that takes the same arguments."""
        at_least(1, n=n)
        self.check_knobs(knobs)
        y = self._sample_labels(n, y)
        with self.evaluating(), torch.no_grad():
            return draw(n, y, **knobs)

    def check_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` for an option that the sampler of this family does not have."""
        check_knobs(self.draw, knobs, f"the sampler of {type(self).__name__}")

    def unfit(self, capability: type) -> str | None:
        """Why this model cannot do on its data what its class can in general; None if it can. Evaluation asks before training.

        Args:
            capability: of :mod:`genexp.families.capabilities`, that the class has.
        """
        return None

    def _sample_labels(self, n: int, y: Tensor | int | None) -> Tensor | None:
        if not self.conditional:
            if y is not None:
                raise ValueError("labels given, but the model is unconditional: train with model.conditional=true")
            return None
        if y is None:
            return torch.randint(self.num_classes, (n,), device=self.device)
        y = torch.as_tensor(y, device=self.device)
        if y.is_floating_point():
            raise ValueError(f"labels must be whole numbers: got {y.dtype}")
        y = y.expand(n) if y.ndim == 0 else y
        if y.shape != (n,):
            raise ValueError(f"labels have shape {tuple(y.shape)}: must be one label, or ({n},)")
        if y.min() < 0 or y.max() >= self.num_classes:
            raise ValueError(f"labels must be in [0, {self.num_classes - 1}]: got {int(y.min())} to {int(y.max())}")
        return y.long()

    def labels(self, y: Tensor | None) -> Tensor | None:
        """The labels that the networks receive: ``y`` for a conditional model, None for an unconditional one.

        Raises:
            ValueError: the model is conditional and ``y`` is None.
        """
        if not self.conditional:
            return None
        if y is None:
            raise ValueError("the model is conditional: labels y are needed")
        return y

    def noise(self, n: int, *shape: int) -> Tensor:
        """Standard-normal draws ``(n, *shape)``. In a training or validation step n is that of the batch, and they are those of
        the whole batch over all processes, of which this process keeps its rows."""
        if self.context.draws is None:
            return torch.randn(n, *shape, device=self.device, dtype=self.dtype)
        return self.context.draws.normal(n, *shape, device=self.device, dtype=self.dtype)

    def uniform(self, n: int, *shape: int) -> Tensor:
        """As :meth:`noise`, draws from [0, 1)."""
        if self.context.draws is None:
            return torch.rand(n, *shape, device=self.device, dtype=self.dtype)
        return self.context.draws.uniform(n, *shape, device=self.device, dtype=self.dtype)

    def common_integer(self, high: int) -> int:
        """A draw from {0, ..., high - 1}, the same on all processes during a training or validation step."""
        draws = self.context.draws
        return int(torch.randint(high, ())) if draws is None else draws.integer(high)

    def track(self, steps: Iterable[Any], what: str, **sizes: Any) -> Iterable[Any]:
        """The steps of a long loop, whose progress is shown where somebody looks; see :class:`genexp.families.context.Track`."""
        return self.context.track(steps, what, **sizes)

    def networks(self) -> Iterator[nn.Module]:
        """The children, and those of families among these."""
        for child in self.children():
            if isinstance(child, GenerativeModule):
                yield from child.networks()
            else:
                yield child

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode inside the block; afterwards the mode that was there before."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)


def knobs_of(method: Callable[..., Any]) -> list[str] | None:
    """The options of a sampler or decoder: its keyword-only parameters; None where it takes any."""
    parameters = signature(method).parameters.values()
    if any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY]


def check_knobs(method: Callable[..., Any], knobs: Mapping[str, Any], who: str) -> None:
    """Raise ``ValueError`` for an option that a method does not have as a keyword of its own.

    Args:
        method: see :func:`knobs_of`.
        knobs: options by name.
        who: has them, for the message.
    """
    known = knobs_of(method)
    for knob in () if known is None else knobs.keys() - set(known):
        has = f"has the knobs {', '.join(known)}" if known else "has no knobs"
        raise ValueError(f"{knob}={knobs[knob]}: {who} {has}")
