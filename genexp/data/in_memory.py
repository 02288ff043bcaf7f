"""Data sets that memory holds: a subclass writes ``load``, or ``files`` beside it where they lie in published files."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genexp.data.base import SPLITS, Data, one_of
from genexp.data.batches import TensorBatches, Transform
from genexp.data.files import RemoteFile, locate


class InMemoryData(Data):
    """A data set small enough for memory; the arguments are those of :class:`Data`."""

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)
        self._tensors: dict[str, tuple[Tensor, Tensor | None]] = {}

    @abstractmethod
    def load(self, split: str) -> tuple[Tensor, Tensor | None]:
        """All examples ``(N, *shape)`` and labels ``(N,)`` (or None) of a split in :data:`SPLITS`."""

    def training_source(self) -> tuple[Tensor, Tensor | None, Transform | None]:
        """What training batches are cut from, and a transform of each: by default the split itself."""
        return *self.tensors("train"), None

    # --- the examples -------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Load what a stage needs, once; called again it does nothing."""
        if stage in (None, "fit"):
            self.training_source()
        if stage in (None, "fit", "validate"):
            self.tensors("validation")
        if stage in (None, "test"):
            self.tensors("test")

    def tensors(self, split: str) -> tuple[Tensor, Tensor | None]:
        """The examples ``(N, *shape)`` and labels ``(N,)`` (or None) of a split, loaded at the first call.

        Raises:
            ValueError: there is no such split, or what was loaded is not what the config declares.
        """
        if split not in self._tensors:
            x, y = self.load(one_of("split", split, SPLITS))
            self._check(x, y)
            n = self._limited(len(x)) if split == "train" else len(x)
            self._tensors[split] = x[:n], None if y is None else y[:n]
        return self._tensors[split]

    def batches(self, split: str) -> TensorBatches:
        return TensorBatches(*self.tensors(split))

    def training_batches(self) -> TensorBatches:
        return TensorBatches(*self.training_source())

    def size(self, split: str) -> int:
        return len(self.tensors(split)[0])

    def fingerprint(self, split: str) -> str:
        """16 hexadecimal digits that change with any value in a split."""
        digest = hashlib.sha256()
        for part in self.tensors(split):
            if part is not None:
                digest.update(f"{part.dtype} {tuple(part.shape)} ".encode())
                digest.update(part.contiguous().numpy())
        return digest.hexdigest()[:16]

    def _check(self, x: Tensor, y: Tensor | None) -> None:
        found = tuple(x.shape[1:])
        if found != self.shape:
            raise ValueError(f"data.shape={list(self.shape)}: the examples of {self.name} have shape {list(found)}")
        if x.dtype != (torch.float32 if self.levels is None else torch.uint8):
            right = "null" if x.dtype == torch.float32 else "2 to 256"
            raise ValueError(f"data.levels={self.levels}: {self.name} is {x.dtype}, set data.levels to {right}")
        if self.levels is not None and (top := int(x.max())) >= self.levels:  # as uint8, 256 would wrap to 0
            raise ValueError(f"data.levels={self.levels}: {self.name} goes up to {top}, set {top + 1} or more")
        self._check_labels(y)


class FileData(InMemoryData):
    """A data set that lies in published files.

    Args:
        root: folder that holds the files, as ``<root>/<folder>/<name>``; None for the download cache only.
        common: see :class:`InMemoryData`.
    """

    def __init__(self, *, root: str | PathLike[str] | None, **common: Any) -> None:
        super().__init__(**common)
        self.root = root

    @abstractmethod
    def files(self) -> Sequence[RemoteFile]:
        """All files of the data set."""

    def prepare_data(self) -> None:
        """Find or download all files; called on one process only."""
        for file in self.files():
            self.path(file)

    def path(self, file: RemoteFile) -> Path:
        """Where a verified copy of ``file`` lies (see :func:`genexp.data.files.locate`)."""
        return locate(file, self.root)
