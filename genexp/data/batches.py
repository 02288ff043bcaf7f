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


def counts(n: int, batch_size: int, number: int, rank: int, world: int) -> tuple[int, int]:
    """How many examples a batch has on a process, and on all of them.

    Args:
        n: examples of the split.
        batch_size: examples per process and batch.
        number: of the batch, from 0.
        rank, world: this process and the number of processes.

    Returns:
        The first is 0 where the last batch has fewer examples than there are processes: such a process is served a stand-in,
        so that it takes part in what all do together, and it does not count.
    """
    everywhere = min(batch_size * world, n - number * batch_size * world)
    return len(range(rank, everywhere, world)), everywhere


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
    ``batch_size * world``; rank r takes ``[r::world]`` of each. The last, incomplete one is served too: its
    parts may differ in size by one, and :meth:`counts` tells what each of them is worth. Lightning calls
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
        self.batch_size, self.global_batch = batch_size, batch_size * world
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

    def counts(self, number: int) -> tuple[int, int]:
        """See :func:`counts`."""
        return counts(self.n, self.batch_size, number, self.rank, self.world)

    def __len__(self) -> int:
        return -(-self.n // self.global_batch)

    def __iter__(self) -> Iterator[BatchKey]:
        epoch = self.epoch
        order = self.permutation(epoch)
        for number in range(self._skip[1] if self._skip[0] == epoch else 0, len(self)):
            batch = order[number * self.global_batch : (number + 1) * self.global_batch]
            yield BatchKey(epoch, number, part(batch, self.rank, self.world), self.rank, self.world)


class FixedOrder(Sampler):
    """The examples as they lie, every one exactly once; rank r serves ``[r::world]``, in as many batches as any other."""

    def __init__(self, n: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.n, self.batch_size, self.rank, self.world = n, batch_size, rank, world

    def counts(self, number: int) -> tuple[int, int]:
        """See :func:`counts`."""
        return counts(self.n, self.batch_size, number, self.rank, self.world)

    def __len__(self) -> int:
        return -(-self.n // (self.batch_size * self.world))

    def __iter__(self) -> Iterator[BatchKey]:
        size = self.batch_size * self.world
        for number in range(len(self)):
            batch = torch.arange(number * size, min((number + 1) * size, self.n))
            yield BatchKey(0, number, part(batch, self.rank, self.world), self.rank, self.world)


def part(batch: Tensor, rank: int, world: int) -> Tensor:
    """The examples of a process, of those of all ``(B,)``; where there are none, the first as a stand-in."""
    mine = batch[rank::world]
    return mine if len(mine) else batch[:1]
