"""A folder of PNG, JPEG, WebP or BMP images."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genexp.data.base import SPLITS
from genexp.data.images import SUFFIXES
from genexp.data.streamed import Images, StreamedData
from genexp.probability.randomness import key


class ImageFiles(Images):
    """Image files below a folder.

    Args:
        folder: the folder.
        names: ``(N,)`` bytes, their paths in it; one array, for a million Python strings would be copied by each worker.
        sizes: ``(N,)`` int64, their numbers of bytes.
        labels: ``(N,)`` int64, or None.
    """

    def __init__(self, folder: Path, names: np.ndarray, sizes: np.ndarray, labels: Tensor | None) -> None:
        self.folder, self.names, self.sizes, self.labels = folder, names, sizes, labels

    def __len__(self) -> int:
        return len(self.names)

    def first(self, n: int) -> "ImageFiles":
        return ImageFiles(self.folder, self.names[:n], self.sizes[:n], None if self.labels is None else self.labels[:n])

    def read(self, index: Tensor) -> Iterator[tuple[int, bytes]]:
        for position, i in enumerate(index.tolist()):
            yield position, Path(self.name(i)).read_bytes()

    def name(self, i: int) -> str:
        return str(self.folder / os.fsdecode(self.names[i]))

    def listing(self) -> Iterator[bytes]:
        for name, size in zip(self.names.tolist(), self.sizes.tolist(), strict=True):
            yield b"%s %d\0" % (name, size)


class ImageFolder(StreamedData):
    """Images in ``<root>/<split>/<class>/`` or, without labels, in ``<root>/<split>/``; or all splits in one folder.

    Labels number the class folders in the order of their names. The order of the examples, and which split each belongs
    to where one folder holds them all, is a function of ``split_seed`` and the name of the file: of each file alone, so
    that further files do not move the others. Hidden files and those that are no images by their name are passed over.

    Args:
        splits: None: ``<root>`` holds the folders ``train``, ``validation`` and ``test``. Or shares for each of them,
            adding up to 1: ``<root>`` itself holds all images.
        split_seed: of order and shares.
        common: see :class:`genexp.data.streamed.StreamedData`.
    """

    def __init__(self, *, splits: Mapping[str, float] | None, split_seed: int, **common: Any) -> None:
        super().__init__(**common)
        if splits is not None and (
            set(splits) != set(SPLITS) or min(splits.values()) <= 0 or abs(sum(splits.values()) - 1) > 1e-9
        ):
            raise ValueError(
                f"data.splits={dict(splits)}: must give a share above 0 for train, validation and test, adding up to 1; "
                "or null, where the images lie in folders of these names"
            )
        self.splits = splits
        self.split_seed = split_seed

    def find(self, split: str) -> ImageFiles:
        folder, low, high = self.root / split, 0.0, 1.0
        if self.splits is not None:
            edges = [0.0, *accumulate(self.splits[name] for name in SPLITS)]
            low, high = edges[SPLITS.index(split) :][:2]
            folder, high = self.root, 1.0 if split == SPLITS[-1] else high  # whatever the rounding of the sum
        classes = self._classes(folder)
        found = []
        for label, name in enumerate(classes or [""]):
            files = [entry for entry in _entries(folder / name) if entry.name.lower().endswith(SUFFIXES)]
            if not files:
                raise FileNotFoundError(f"there are no images ({', '.join(SUFFIXES)}) in {folder / name}")
            for entry in files:
                path = f"{name}/{entry.name}" if name else entry.name
                place = key(self.split_seed, "file", path) / 2**63
                if low <= place < high:
                    found.append((place, os.fsencode(path), entry.stat().st_size, label))
        if not found:
            raise ValueError(f"data.splits={dict(self.splits)}: too few images in {folder}, none is left for {split}")
        _, names, sizes, labels = zip(*sorted(found), strict=True)
        y = torch.tensor(labels) if classes else None
        return ImageFiles(folder, np.array(names), np.array(sizes, dtype=np.int64), y)

    def _classes(self, folder: Path) -> list[str]:
        """Names of the class folders, those that the config and the training images have; empty if there are none."""
        if not folder.is_dir():
            there = ", ".join(sorted(entry.name for entry in _entries(self.root) if entry.is_dir())) or "none"
            raise FileNotFoundError(
                f"{folder} is not a folder: data.root must hold {', '.join(SPLITS)} (it holds {there}), or all images "
                "with data.splits set to shares"
            )
        classes = _folders(folder)
        if len(classes) != (self.num_classes or 0):
            right = (
                f"{len(classes)}: one for each folder in it" if classes else "null: it holds no folders, so no labels"
            )
            raise ValueError(f"data.num_classes={self.num_classes}: for {folder} it must be {right}{_few(classes)}")
        if classes and any(entry.name.lower().endswith(SUFFIXES) for entry in _entries(folder)):
            raise ValueError(f"{folder} holds images beside the folders of its classes: move them into one")
        if self.splits is None and (different := set(classes) ^ set(_folders(self.root / SPLITS[0]))):
            raise ValueError(f"the classes in {folder} are not those in {SPLITS[0]}: {_few(sorted(different))}")
        return classes


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _few(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""
