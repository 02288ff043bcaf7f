"""Random draws keyed by what they are for, so that no draw depends on what was drawn before it.

A training step draws from ``key(seed, "step", step)``, a data order from ``key(seed, "order", epoch)``: a resumed run,
another logger or an extra validation changes nothing.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def key(seed: int, *parts: str | int) -> int:
    """A 63-bit seed that is a function of ``seed`` and ``parts`` alone, the same on every machine."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *parts: str | int) -> torch.Generator:
    """A CPU generator seeded with ``key(seed, *parts)``."""
    return torch.Generator().manual_seed(key(seed, *parts))


@contextmanager
def keyed_draws(device: torch.device, seed: int, *parts: str | int) -> Iterator[None]:
    """Inside the block torch draws from ``key(seed, *parts)``; afterwards its generators are as before.

    Args:
        device: where the draws happen; the CPU's generator is always kept too.
        seed: the seed of the evaluation.
        parts: what the draws are for, e.g. ``"bound", 50, 3``.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key(seed, *parts))
        yield


class StepDraws:
    """The draws of one training step or validation batch, a function of the key and of an example's place in the batch:
    the same whether one process has the whole batch, several have a part each, or one has it in parts after another.

    Args:
        seed: the run's seed.
        parts: what the draws are for, e.g. ``"draws", step``.
        rank, world: this process and the number of processes; it has the rows ``[rank::world]``.
        before: rows of the step that came in earlier parts, over all processes.
        examples: rows of this part, over all processes, where these do not have equally many; None where they do.
    """

    def __init__(
        self, seed: int, *parts: str | int, rank: int, world: int, before: int = 0, examples: int | None = None
    ) -> None:
        self.seed, self.parts, self.rank, self.world, self.before = seed, parts, rank, world, before
        self.examples = examples
        self._calls = 0

    def _generator(self, device: torch.device) -> torch.Generator:
        self._calls += 1
        return torch.Generator(device).manual_seed(key(self.seed, *self.parts, self._calls))

    def normal(self, n: int, *shape: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Standard-normal draws ``(n, *shape)`` for the n examples of this process."""
        return self._rows(torch.randn, n, shape, device, dtype)

    def uniform(self, n: int, *shape: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Uniform draws from [0, 1) ``(n, *shape)`` for the n examples of this process."""
        return self._rows(torch.rand, n, shape, device, dtype)

    def _rows(
        self, draw: Callable[..., Tensor], n: int, shape: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        row = torch.Size(shape).numel()
        uneven = self.examples is not None and n == len(range(self.rank, self.examples, self.world))
        rows = self.before + (self.examples if uneven else n * self.world)
        # torch.randn on a CPU treats the last 16 numbers apart: with 16 more, no row depends on how many follow it
        drawn = draw(rows * row + 16, generator=self._generator(device), device=device, dtype=dtype)
        return drawn[: rows * row].view(rows, *shape)[self.before + self.rank :: self.world]

    def integer(self, high: int) -> int:
        """One draw from {0, ..., high - 1} for the whole step."""
        return int(torch.randint(high, (), generator=self._generator(torch.device("cpu"))))
