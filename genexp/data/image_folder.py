"""A folder of PNG, JPEG, WebP or BMP images."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genexp.data import bounded
from genexp.data.base import SPLITS
from genexp.data.images import HEAD, LARGEST, SUFFIXES, TAIL
from genexp.data.left_out import LeftOut, is_image
from genexp.data.streamed import Images, StreamedData, UnreadableImage
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
            try:
                content = bounded.read_bytes(self.name(i), LARGEST)
            except (OSError, ValueError) as error:  # it was there when the images were listed
                raise UnreadableImage(str(error)) from error
            yield position, content

    def head_and_tail(self, i: int) -> tuple[bytes, bytes, int]:
        size = bounded.size_of(self.name(i), LARGEST)
        with open(self.name(i), "rb") as file:
            head = file.read(HEAD)
            file.seek(max(size - TAIL, 0))
            return head, file.read(TAIL), size

    def name(self, i: int) -> str:
        return str(self.folder / os.fsdecode(self.names[i]))

    def listing(self) -> Iterator[bytes]:
        for name, size in zip(self.names.tolist(), self.sizes.tolist(), strict=True):
            yield b"%s %d\0" % (name, size)


class ImageFolder(StreamedData):
    """Images in ``<root>/<split>/<class>/`` or, without labels, in ``<root>/<split>/``; or all splits in one folder.

    Labels number the class folders in the order of their names. The order of the examples, and which split each belongs
    to where one folder holds them all, is a function of ``split_seed`` and the name of the file: of each file alone, so
    that further files do not move the others. Images in folders below, hidden ones and files that are no images by their name
    are passed over, and ``notes`` says how many.

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
        self._left_out = LeftOut()
        self._counted: set[Path] = set()

    @property
    def class_names(self) -> list[str] | None:
        """Those of the class folders; None where there are none, or not yet."""
        folder = self.root / SPLITS[0] if self.splits is None else self.root
        if self.num_classes is None or not folder.is_dir():
            return None
        names = sorted(entry.name for entry in _entries(folder) if entry.is_dir())
        return names if len(names) == self.num_classes else None

    def find(self, split: str) -> ImageFiles:
        folder, low, high = self.root / split, 0.0, 1.0
        if self.splits is not None:
            edges = [0.0, *accumulate(self.splits[name] for name in SPLITS)]
            low, high = edges[SPLITS.index(split) :][:2]
            folder, high = self.root, 1.0 if split == SPLITS[-1] else high  # whatever the rounding of the sum
        classes = self._classes(folder)
        found = []
        for label, name in enumerate(classes or [""]):
            files = self._images_in(folder / name)
            if not files:
                raise FileNotFoundError(f"there are no images ({', '.join(SUFFIXES)}) in {folder / name}")
            for entry in files:
                path = f"{name}/{entry.name}" if name else entry.name
                place = key(self.split_seed, "file", path) / 2**63
                if low <= place < high:
                    found.append((place, os.fsencode(path), _size(entry), label))
        if not found:
            raise ValueError(f"data.splits={dict(self.splits)}: too few images in {folder}, none is left for {split}")
        _, names, sizes, labels = zip(*sorted(found), strict=True)
        y = torch.tensor(labels) if classes else None
        return ImageFiles(folder, np.array(names), np.array(sizes, dtype=np.int64), y)

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        line = self._left_out.line()
        self.notes = [line] if line else []

    def _images_in(self, folder: Path, classes: Sequence[str] = ()) -> list[os.DirEntry]:
        """The images of a folder that holds those of ``classes``; the first time, what is left out of it is counted."""
        images, others = [], []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in classes:
                    used = is_image(entry.name) and not entry.name.startswith(".")
                    (images if used else others).append(entry)
        if folder not in self._counted:
            self._counted.add(folder)
            for entry in others:
                if entry.is_dir():
                    self._left_out.folder(Path(entry.path))
                else:
                    self._left_out.file(entry.name)
        return images

    def _count_beside_splits(self) -> None:
        """What lies in the root beside the folders of the splits, or in folders there; not at any depth, for the root may be a
        home."""
        self._counted.add(self.root)
        for entry in _entries(self.root):
            if entry.is_dir() and entry.name not in SPLITS:
                self._left_out.folder(Path(entry.path), depth=1)
            elif entry.is_file() and is_image(entry.name):
                self._left_out.beside[str(self.root)] += 1

    def _classes(self, folder: Path) -> list[str]:
        """Names of the class folders, those that the config and the training images have; empty if there are none.

        The folders of all splits are compared first: a number that is right for one of them would be wrong for another."""
        classes = self._folders(folder)
        if self.splits is None:
            if self.root not in self._counted:
                self._count_beside_splits()
            right = self._folders(self.root / SPLITS[0])
            for split in SPLITS:
                names = self._folders(self.root / split)
                missing, further = sorted(set(right) - set(names)), sorted(set(names) - set(right))
                said = [f"{_few(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
                said += (
                    [f"{_few(further)} {'is' if len(further) == 1 else 'are'} not in {SPLITS[0]}"] if further else []
                )
                if said:
                    where = self.root / split
                    raise ValueError(f"the classes in {where} are not those in {SPLITS[0]}: {', '.join(said)}")
        if len(classes) != (self.num_classes or 0):
            right = (
                f"{len(classes)}: one for each folder in it ({_few(classes)})"
                if classes
                else "null: it holds no folders, so no labels"
            )
            raise ValueError(f"data.num_classes={self.num_classes}: for {folder} it must be {right}")
        if classes and self._images_in(folder, classes):
            raise ValueError(f"{folder} holds images beside the folders of its classes: move them into one")
        return classes

    def _folders(self, folder: Path) -> list[str]:
        """Names of the folders in one that the config asks for, in order."""
        if not folder.is_dir():
            there = ", ".join(sorted(entry.name for entry in _entries(self.root) if entry.is_dir())) or "none"
            raise FileNotFoundError(
                f"{folder} is not a folder: data.root must hold {', '.join(SPLITS)} (it holds {there}), or all images "
                "with data.splits set to shares"
            )
        return sorted(entry.name for entry in _entries(folder) if entry.is_dir())


def _entries(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _size(entry: os.DirEntry) -> int:
    """The number of bytes of a file that can be an image.

    Raises:
        ValueError: it cannot; names it.
    """
    if entry.is_file() and 0 < (size := entry.stat().st_size) <= LARGEST:
        return size
    bounded.size_of(entry.path, LARGEST)  # says what it is
    raise ValueError(f"{entry.path} is empty")


def _few(names: Sequence[str]) -> str:
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
