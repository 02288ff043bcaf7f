"""What every data set shares: whole batches in a keyed order, checked against the config.

A batch is ``(x, y)``: ``x`` is uint8 ``(B, *shape)`` in ``[0, levels)``, or float32 when ``levels`` is None;
``y`` is int64 ``(B,)`` in ``[0, num_classes)``, or None. A new data set subclasses :class:`genexp.data.in_memory.InMemoryData`
and writes ``load``, or, where it is larger than memory, :class:`genexp.data.streamed.StreamedData`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from genexp.data.batches import BatchKey, FixedOrder, TrainingOrder
from genexp.data.modes import Modes
from genexp.probability.randomness import generator
from genexp.ranges import at_least, inside

SPLITS = ("train", "validation", "test")


class Data(LightningDataModule, ABC):
    """A data set: what runs, callbacks and metrics use of it.

    Args:
        name: its name in records.
        shape: shape of one example, e.g. (1, 28, 28).
        levels: number of values a dimension can take, 2 to 256; None for continuous data.
        num_classes: number of labels; None if there are none.
        batch_size: training examples per process and batch, at least 1.
        evaluation_batch_size: the same for validation and test.
        seed: of the run; the training order and the draws of the batches are keyed by it.
        limit: train on the first ``limit`` examples only; None for all.
        num_workers: processes that prepare batches; 0 is the fastest for data in memory.

    Raises:
        ValueError: an argument is out of range. Once loaded: the examples are not what the arguments declare.
    """

    only_levels: ClassVar[int | None] = None
    """The one value that ``levels`` may have, where the source decides it."""
    sample_rate: int | None = None
    """Samples per second of sound, whose levels are mu-law codes; None for other data."""
    class_names: Sequence[str] | None = None
    """What the labels are called, in their order; None where their numbers are their names."""
    modes: Modes | None = None
    """The modes of the distribution, where they are known and lie apart."""
    density: Any = None
    """What the examples are independent draws from, where its ``log_prob`` is known: x ``(N, *shape)`` -> ``(N,)`` in nats."""
    stacked_digits: ClassVar[bool] = False
    """Whether every channel of an image shows one of the ten digits, independently of the others."""
    notes: list[str]
    """What a person should know of the data, once they are set up, a line each: what is left out, for example."""

    def __init__(
        self,
        *,
        name: str,
        shape: Sequence[int],
        levels: int | None,
        num_classes: int | None,
        batch_size: int,
        evaluation_batch_size: int,
        seed: int,
        limit: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if levels is not None:
            inside(2, 256, ends="[]", hint=" (uint8), or null for continuous data", **{"data.levels": levels})
        if self.only_levels not in (None, levels):
            raise ValueError(f"data.levels={levels}: for {name} it must be {self.only_levels}")
        at_least(1, **{"data.batch_size": batch_size, "data.evaluation_batch_size": evaluation_batch_size})
        at_least(1, **{"data.shape": shape})
        at_least(0, **{"data.num_workers": num_workers})
        if num_classes is not None:
            at_least(1, hint=", or null for data without labels", **{"data.num_classes": num_classes})
        if limit is not None:
            at_least(1, hint=", or null for all training examples", **{"data.limit": limit})
        self.name = name
        self.shape = tuple(shape)
        self.levels = levels
        self.num_classes = num_classes
        self.batch_size = batch_size
        self.evaluation_batch_size = evaluation_batch_size
        self.seed = seed
        self.limit = limit
        self.num_workers = num_workers
        self.notes: list[str] = []
        self._skip = (0, 0)
        self._orders: dict[str, TrainingOrder | FixedOrder] = {}
        """Of the loaders that Lightning has, by split."""

    # --- what a data set provides -------------------------------------------------------------------------

    @abstractmethod
    def size(self, split: str) -> int:
        """Number of examples in a split; of ``train``, at most ``limit``."""

    @abstractmethod
    def fingerprint(self, split: str) -> str:
        """16 hexadecimal digits that tell the examples of a split from others: a key for caches of its statistics."""

    @abstractmethod
    def batches(self, split: str) -> Dataset:
        """Answers a :class:`genexp.data.batches.BatchKey` with ``(x, y)`` of a split; has a length."""

    def training_batches(self) -> Dataset:
        """As :meth:`batches`, of what the model trains on: by default ``train`` as it is evaluated."""
        return self.batches("train")

    def training_order(self, n: int, rank: int, world: int) -> TrainingOrder:
        """The order of ``n`` training examples: by default any example may follow any other."""
        return TrainingOrder(n, self.batch_size, self.seed, rank, world)

    def inspect(self) -> None:
        """Look at the examples of all splits as far as that is cheap, so that one that cannot be used is known before training.
        By default nothing: what is in memory was looked at when it was loaded.

        Raises:
            ValueError: naming the example.
        """

    def protocol(self, split: str) -> dict[str, Any]:
        """What two values measured on a split must share to be comparable: plain strings and numbers."""
        return {"data": self.name, "split": split, "n": self.size(split), "levels": self.levels}

    def _limited(self, n: int) -> int:
        if self.limit is not None and self.limit > n:
            raise ValueError(f"data.limit={self.limit}: there are only {n} training examples")
        return self.limit or n

    def _check_labels(self, y: Tensor | None) -> None:
        if (y is None) != (self.num_classes is None):
            right = "null, there are no labels" if y is None else f"{int(y.max()) + 1}"
            raise ValueError(f"data.num_classes={self.num_classes}: for {self.name} it must be {right}")
        if y is not None and (y.dtype != torch.int64 or y.min() < 0 or y.max() >= self.num_classes):
            raise ValueError(
                f"data.num_classes={self.num_classes}: the labels of {self.name} must be int64 from 0 to "
                f"{self.num_classes - 1}, but are {y.dtype} from {int(y.min())} to {int(y.max())}"
            )

    # --- the loaders --------------------------------------------------------------------------------------

    def train_dataloader(self) -> DataLoader:
        """Training batches in the order of (seed, epoch); every process its part."""
        batches = self.training_batches()
        order = self.training_order(self._limited(len(batches)), *replica())
        order.set_epoch(self._skip[0])  # workers begin to prepare batches before Lightning sets it
        order.skip(*self._skip)
        self._orders["train"] = order
        return self._dataloader(batches, order)

    def counts(self, split: str, number: int) -> tuple[int, int]:
        """How many examples of batch ``number`` this process has, and all of them, where Lightning's loaders serve the split; see
        :func:`genexp.data.batches.counts`."""
        return self._orders[split].counts(number)

    def skip(self, epoch: int, batches: int) -> None:
        """Leave out the first ``batches`` training batches of ``epoch``, which an earlier run has seen.

        Call it before ``fit`` makes the loader, whose workers begin before any ``on_train_start``."""
        self._skip = (epoch, batches)

    def val_dataloader(self) -> DataLoader:
        """The validation split in its fixed order; every process its part."""
        loader = self._evaluation("validation", self.evaluation_batch_size, *replica())
        self._orders["validation"] = loader.sampler
        return loader

    def test_dataloader(self) -> DataLoader:
        """The test split in its fixed order; every process its part."""
        return self._evaluation("test", self.evaluation_batch_size, *replica())

    def loader(self, split: str, batch_size: int | None = None) -> DataLoader:
        """A whole split in its fixed order, the same on every process: for metrics.

        Args:
            split: ``train``, ``validation`` or ``test``.
            batch_size: examples per batch; None for ``evaluation_batch_size``.
        """
        return self._evaluation(split, batch_size or self.evaluation_batch_size, 0, 1)

    def examples(self, split: str, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """``n`` examples of a split, or all where there are fewer, and their labels, in an order that the seed chooses: splits
        may be sorted. The first of them do not depend on n, and no others are read."""
        return self.at(split, torch.randperm(self.size(split), generator=generator(seed, "examples", split))[:n])

    def at(self, split: str, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """The examples of a split at an index ``(B,)`` int64, and their labels."""
        return self.batches(split)[BatchKey(0, 0, index)]

    def _evaluation(self, split: str, batch_size: int, rank: int, world: int) -> DataLoader:
        return self._dataloader(self.batches(split), FixedOrder(self.size(split), batch_size, rank, world))

    def _dataloader(self, batches: Dataset, order: Sampler) -> DataLoader:
        return Loader(
            batches,
            sampler=order,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.num_workers > 0 and torch.cuda.is_available(),  # by a thread, beside the training
            generator=generator(self.seed, "loader"),  # else every epoch draws from the global generator
        )


class Loader(DataLoader):
    """PyTorch's, without its warning that there are more workers than processor cores: how many there are changes how fast the
    data come, and is the config's choice; one shared core runs two workers well."""

    def check_worker_number_rationality(self) -> None:
        """Nothing but the warning."""


def replica() -> tuple[int, int]:
    """Rank of this process and number of processes: (0, 1) outside distributed training."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def one_of(argument: str, value: str, valid: Sequence[str]) -> str:
    """``value``, which must be among ``valid``.

    Raises:
        ValueError: it is not; names ``argument``, the nearest valid name and all of them.
    """
    if value in valid:
        return value
    near = get_close_matches(str(value), valid, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    raise ValueError(f"{argument}={value!r}: must be one of {', '.join(valid)}{hint}")
