"""What families share that draw one dimension after another: ancestral sampling and completion."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import Completion, ExactLikelihood
from genexp.networks.autoregressive.base import Sampler
from genexp.probability.quantize import unit
from genexp.ranges import positive


class AncestralModule(GenerativeModule, ExactLikelihood, Completion):
    """A mixture with equal weights of the densities that ``ensemble`` orders of the dimensions give; an example is drawn in
    one of the orders, chosen uniformly."""

    units: ClassVar[Mapping[str, str]] = {"loss": "nats"}
    ensemble: int

    @abstractmethod
    def draw_order(
        self, x: Tensor, given: Tensor, y: Tensor | None, order: int, temperature: float, incremental: bool
    ) -> Tensor:
        """``x`` ``(B, *shape)`` with all but ``given`` drawn, in one order; arguments as of :meth:`draw` and :meth:`complete`."""

    def draw(self, n: int, y: Tensor | None, *, temperature: float = 1.0, incremental: bool = True) -> Tensor:
        """Ancestral sampling: each dimension in turn from its conditional.

        Args:
            n: number of examples.
            y: labels ``(n,)``, or None.
            temperature: in (0, inf); divides the logits of every conditional.
            incremental: reuse what earlier steps computed; False recomputes the whole forward pass for every step. Both
                give the same sample.
        """
        x = torch.zeros(n, *self.shape, dtype=torch.uint8 if self.levels else self.dtype, device=self.device)
        return self._draw(x, torch.zeros(self.shape, dtype=torch.bool), y, temperature, incremental)

    def complete(
        self, x: Tensor, given: Tensor, y: Tensor | None = None, *, temperature: float = 1.0, incremental: bool = True
    ) -> Tensor:
        """See :class:`Completion`; the missing dimensions are drawn in one of the orders."""
        if given.shape != self.shape or given.dtype != torch.bool or x.shape[1:] != self.shape:
            raise ValueError(
                f"given: {given.dtype} of shape {tuple(given.shape)}, x of shape {tuple(x.shape)}: must be bool "
                f"{self.shape} and {('n', *self.shape)}"
            )
        with self.evaluating(), torch.no_grad():
            return self._draw(x, given.cpu(), self.labels(y), temperature, incremental)

    def _draw(self, x: Tensor, given: Tensor, y: Tensor | None, temperature: float, incremental: bool) -> Tensor:
        positive(temperature=temperature)
        x = x.clone()
        orders = torch.randint(self.ensemble, (len(x),)).to(self.device)
        with one_thread():
            for order in orders.unique().tolist():
                chosen = orders == order
                labels = None if y is None else y[chosen]
                x[chosen] = self.draw_order(x[chosen], given, labels, order, temperature, incremental)
        return x


def draw_steps(
    x: Tensor,
    kept: Tensor,
    step: Sampler,
    sample: Callable[[Tensor], Tensor],
    levels: int | None,
    times: Iterable[int],
    dtype: torch.dtype,
) -> None:
    """Draw ``x`` step by step, in place.

    Args:
        x: ``(n, D)`` in the data space, the dimensions in the sequence of the order.
        kept: bool ``(T, g)``, on any device: which of the g dimensions of each step are given, and stay as they are.
        step: parameters of a step, given a canvas of ``dtype``.
        sample: parameters ``(n, P, 1)`` -> draws ``(n, g)`` in the data space.
        levels: number of levels; None for continuous data.
        times: the steps 0, ..., T - 1.
        dtype: of the canvas.
    """
    whole, partly = kept.all(1).tolist(), kept.any(1).tolist()
    kept, g = kept.to(x.device), kept.shape[1]
    canvas = torch.zeros(x.shape, dtype=dtype, device=x.device)
    columns, scaled = x.split(g, dim=1), canvas.split(g, dim=1)
    for t in times:
        now = columns[t]
        params = step(canvas, t)
        if not whole[t]:
            drawn = sample(params.unsqueeze(2))
            now.copy_(torch.where(kept[t], now, drawn) if partly[t] else drawn)
        scaled[t].copy_(unit(now, levels))


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block the CPU computes with one thread: the operations of a sampler are too small for more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
