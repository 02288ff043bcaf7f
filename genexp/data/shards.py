"""Images in tar shards, as WebDataset writes them.

Libraries that read them (webdataset, or litdata with a format of its own) stream every shard through one worker: order and
place then belong to a number of workers, and to go on in mid-epoch is left to the user or replayed. Here an index gives
random access, so that a batch is a function of (seed, epoch, number) alone, whoever prepares it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genexp.data.base import SPLITS
from genexp.data.batches import TrainingOrder
from genexp.data.images import HEAD, TAIL
from genexp.data.left_out import listed, plural
from genexp.data.streamed import Images, StreamedData
from genexp.data.tar_index import LABEL, OFFSET, SIZE, index_of, member_name
from genexp.probability.randomness import generator
from genexp.ranges import at_least


class ShardedImages(Images):
    """The images of several shards, one shard after the other.

    Args:
        shards: the archives.
        counts: number of examples in each.
        index: of all, ``(N, 3)``, as in :class:`genexp.data.tar_index.ShardIndex`.
    """

    def __init__(self, shards: Sequence[Path], counts: np.ndarray, index: np.ndarray) -> None:
        self.shards, self.counts, self.index = shards, counts, index
        self.ends = counts.cumsum()
        self.labels = torch.from_numpy(index[:, LABEL].copy()) if index[:, LABEL].max() >= 0 else None

    def __len__(self) -> int:
        return len(self.index)

    def first(self, n: int) -> "ShardedImages":
        counts = np.diff(self.ends.clip(max=n), prepend=0)
        kept = int((counts > 0).sum())
        return ShardedImages(self.shards[:kept], counts[:kept], self.index[:n])

    def read(self, index: Tensor) -> Iterator[tuple[int, bytes]]:
        """Shard by shard, each from front to back."""
        shard_of, rows = self._shard_of(index.numpy()), self.index[index.numpy()]
        for shard, positions in groupby(index.argsort().tolist(), key=lambda position: shard_of[position]):
            with self.shards[shard].open("rb") as file:
                for position in positions:
                    file.seek(rows[position, OFFSET])
                    yield position, file.read(rows[position, SIZE])

    def head_and_tail(self, i: int) -> tuple[bytes, bytes, int]:
        start, size = (int(self.index[i, column]) for column in (OFFSET, SIZE))
        with self.shards[self._shard_of(i)].open("rb") as file:
            file.seek(start)
            head = file.read(min(size, HEAD))
            file.seek(start + max(size - TAIL, 0))
            return head, file.read(min(size, TAIL)), size

    def name(self, i: int) -> str:
        shard = self.shards[self._shard_of(i)]
        return f"{member_name(shard, int(self.index[i, OFFSET]))} in {shard}"

    def listing(self) -> Iterator[bytes]:
        for shard, count in zip(self.shards, self.counts.tolist(), strict=True):
            yield f"{shard.name} {count} ".encode()
        yield self.index.tobytes()

    def _shard_of(self, i: Any) -> Any:
        return np.searchsorted(self.ends, i, side="right")


class ShardOrder(TrainingOrder):
    """Keeps reading local: the shards are permuted, and examples within ``window`` consecutive ones of them.

    All draws of an epoch are keyed by (seed, epoch), so everything that :class:`TrainingOrder` promises holds.

    Args:
        counts: number of examples in each shard, as they follow one another.
        window: shards that are mixed, at least 1. With all of them, any example may follow any other.
        order: batch size, seed, rank and world as in :class:`TrainingOrder`.
    """

    def __init__(self, counts: np.ndarray, window: int, **order: int) -> None:
        super().__init__(int(counts.sum()), **order)
        self.counts, self.window = counts, window

    def permutation(self, epoch: int) -> Tensor:
        draws = generator(self.seed, "shards", epoch)
        shards = torch.arange(self.n).split(self.counts.tolist())
        mixed = []
        for window in torch.randperm(len(shards), generator=draws).split(self.window):
            examples = torch.cat([shards[shard] for shard in window])
            mixed.append(examples[torch.randperm(len(examples), generator=draws)])
        return torch.cat(mixed)


class Shards(StreamedData):
    """Images and classes in tar archives, ``<root>/train-000000.tar`` and so on.

    Each example is an image and, where there are classes, ``key.cls`` with a number or ``key.json`` with an entry; see
    :func:`genexp.data.tar_index.index_of`. Validation and test are served as they lie.

    Args:
        shards: of each split, the pattern (``*``, ``?``, ``[0-9]``) of its archives' names; sorted, they are the split.
        label: the entry of ``key.json`` that holds the class.
        shuffle_shards: number of shards among which training examples are shuffled.
        common: see :class:`genexp.data.streamed.StreamedData`.
    """

    def __init__(self, *, shards: Mapping[str, str], label: str, shuffle_shards: int, **common: Any) -> None:
        super().__init__(**common)
        if set(shards) != set(SPLITS):
            raise ValueError(f"data.shards={dict(shards)}: must give a pattern for train, validation and test")
        at_least(1, **{"data.shuffle_shards": shuffle_shards})
        self.shards, self.label, self.shuffle_shards = shards, label, shuffle_shards
        self._others: dict[str, int] = {}
        self._not_kept: str | None = None

    def prepare_data(self) -> None:
        """Index all shards; called on one process only, the others find the indices in the cache."""
        for split in SPLITS:
            self.images(split)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.notes = []
        if self._others:
            count = sum(self._others.values())
            verb = "is" if count == 1 else "are"
            what = f"{plural(count, 'member')} of other types ({listed(self._others)})"
            self.notes.append(f"{what} in the shards {verb} not used")
        used = {path.name for split in SPLITS for path in self.root.glob(self.shards[split])}
        if unused := [path.name for path in sorted(self.root.glob("*.tar*")) if path.name not in used]:
            verb = "is" if len(unused) == 1 else "are"
            self.notes.append(
                f"{plural(len(unused), 'other archive')} in {self.root} ({listed(unused)}) {verb} not used"
            )
        if self._not_kept:
            self.notes.append(
                f"the indices of the shards are not kept: {self._not_kept}; GENEXP_CACHE names another folder"
            )

    def find(self, split: str) -> ShardedImages:
        paths = sorted(self.root.glob(self.shards[split]))
        if not paths:
            there = sorted(path.name for path in self.root.glob("*.tar"))
            found = f"it holds {len(there)} other .tar files, e.g. {there[0]}" if there else "it holds no .tar files"
            raise FileNotFoundError(f"data.shards.{split}={self.shards[split]} matches nothing in {self.root}: {found}")
        indices = []
        for path in paths:
            index, not_kept = index_of(path, self.label)
            self._not_kept = not_kept or self._not_kept
            for suffix, count in index.others.items():
                self._others[suffix] = self._others.get(suffix, 0) + count
            indices.append(index.rows)
        labelled = [int((index[:, LABEL] >= 0).sum()) for index in indices]
        for path, index, count in zip(paths, indices, labelled, strict=True):
            if any(labelled) and count < len(index):
                raise ValueError(
                    f"{path}: {len(index) - count} of its {len(index)} examples have no label, others have"
                )
        return ShardedImages(paths, np.array([len(index) for index in indices]), np.concatenate(indices))

    def training_order(self, n: int, rank: int, world: int) -> ShardOrder:
        counts = self.images("train").counts
        return ShardOrder(
            counts, self.shuffle_shards, batch_size=self.batch_size, seed=self.seed, rank=rank, world=world
        )
