"""Whole batches, here from tensors in memory, in an order that is a function of (seed, epoch) and nothing else.

A sampler yields one :class:`BatchKey` per batch and the data set answers it with one ``index_select``:
``DataLoader(TensorBatches(x, y), sampler=TrainingOrder(...), batch_size=None)``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from genexp.probability.randomness import generator


@dataclass(frozen=True)
class BatchKey:
    """Which examples make a batch, and what its random draws are keyed by.

    Args:
        epoch: epoch, from 0.
        number: batch within the epoch, from 0; the same on every process.
        index: ``(B,)`` int64, the examples of this process.
        rank, world: this process and the number of processes; ``index`` is ``[rank::world]`` of the global
            batch.
    """

    epoch: int
    number: int
    index: Tensor
    rank: int = 0
    world: int = 1


Transform = Callable[[Tensor, BatchKey], Tensor]
"""Maps the ``(B, *shape)`` examples of a batch to what is served; draws are keyed by the batch."""


class TensorBatches(Dataset):
    """Batches of tensors in memory.

    Args:
        x: ``(N, *shape)``.
        y: ``(N,)`` labels, or None.
        transform: applied to the examples of each batch; None serves them as they are.
    """

    def __init__(self, x: Tensor, y: Tensor | None, transform: Transform | None = None) -> None:
        self.x, self.y, self.transform = x, y, transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, key: BatchKey) -> tuple[Tensor, Tensor | None]:
        """The batch ``(x, y)`` of a key: ``(B, *shape)`` and ``(B,)`` or None."""
        x = self.x.index_select(0, key.index)
        y = None if self.y is None else self.y.index_select(0, key.index)
        return (x if self.transform is None else self.transform(x, key)), y


class TrainingOrder(Sampler):
    """A fresh permutation for every epoch, the same on every machine and whatever else was drawn.

    The permutation is drawn from ``(seed, "order", epoch)`` and cut into global batches of
    ``batch_size * world``; rank r takes ``[r::world]`` of each. The last, incomplete one is served too,
    trimmed to a multiple of ``world`` so that all processes have equal sizes. Lightning calls
    :meth:`set_epoch` on ``loader.sampler`` before every epoch.

    Args:
        n: number of examples, at least ``world``.
        batch_size: examples per process and batch.
        seed: of the run.
        rank, world: this process and the number of processes.
    """

    def __init__(self, n: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if n < world:
            raise ValueError(f"{n} training examples for {world} processes: there must be one for each")
        self.n, self.seed, self.rank, self.world = n, seed, rank, world
        self.global_batch = batch_size * world
        self.epoch = 0
        self._skip = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration serves."""
        self.epoch = epoch

    def skip(self, epoch: int, batches: int) -> None:
        """Leave out the first ``batches`` batches of ``epoch``, and of no other: a resumed run has seen them.

        The length stays that of the whole epoch, and the batches keep their numbers."""
        self._skip = (epoch, batches)

    def permutation(self, epoch: int) -> Tensor:
        """All examples ``(n,)`` int64, in the order of an epoch: a function of (seed, epoch)."""
        return torch.randperm(self.n, generator=generator(self.seed, "order", epoch))

    def __len__(self) -> int:
        whole, rest = divmod(self.n, self.global_batch)
        return whole + (rest >= self.world)

    def __iter__(self) -> Iterator[BatchKey]:
        epoch = self.epoch
        order = self.permutation(epoch)[: self.n // self.world * self.world]
        for number in range(self._skip[1] if self._skip[0] == epoch else 0, len(self)):
            batch = order[number * self.global_batch : (number + 1) * self.global_batch]
            yield BatchKey(epoch, number, batch[self.rank :: self.world], self.rank, self.world)


class FixedOrder(Sampler):
    """The examples as they lie, every one exactly once; rank r serves ``[r::world]``."""

    def __init__(self, n: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.index = torch.arange(rank, n, world)
        self.batch_size, self.rank, self.world = batch_size, rank, world

    def __len__(self) -> int:
        return -(-len(self.index) // self.batch_size)

    def __iter__(self) -> Iterator[BatchKey]:
        for number in range(len(self)):
            batch = self.index[number * self.batch_size : (number + 1) * self.batch_size]
            yield BatchKey(0, number, batch, self.rank, self.world)
