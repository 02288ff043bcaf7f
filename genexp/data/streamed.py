"""Images that need not fit into memory: read and decoded batch by batch, in worker processes.

Only the list of images is in memory. The order of batches is that of :mod:`genexp.data.batches`, a function of
(seed, epoch) that any number of workers and processes serve alike; a resumed run skips batches without reading them.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from genexp.data.base import SPLITS, Data, one_of
from genexp.data.batches import BatchKey
from genexp.data.images import HEAD, PREPARATION, TAIL, decode, quantise, settled

LOOKED_AT = 20_000
"""Most images of a split whose header is looked at before training."""
DECODED = 1_000
"""Most images of a split that are decoded then, where the header does not tell."""
SMALL = 2**24
"""Bytes of a split up to which all of its images are decoded then."""


class UnreadableImage(ValueError):
    """An image cannot be decoded; one line that names it."""

    def __init__(self, text: str) -> None:
        # a worker process hands it on with its whole traceback as the text, of which the last line is the error
        super().__init__(text.strip().rpartition("\n")[2].removeprefix(f"{__name__}.UnreadableImage: "))


class Images(ABC):
    """The encoded images of a split in a fixed order. Workers get a copy, so it holds arrays and no objects."""

    labels: Tensor | None
    """``(N,)`` int64, or None."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def first(self, n: int) -> "Images":
        """The first ``n`` of them."""

    @abstractmethod
    def read(self, index: Tensor) -> Iterator[tuple[int, bytes]]:
        """Positions in ``index`` ``(B,)`` with the encoded image there, in any order."""

    def head_and_tail(self, i: int) -> tuple[bytes, bytes, int]:
        """First :data:`genexp.data.images.HEAD` and last :data:`genexp.data.images.TAIL` bytes of image ``i``, and the number of
        all; by default cut from what :meth:`read` gives."""
        ((_, encoded),) = self.read(torch.tensor([i]))
        return encoded[:HEAD], encoded[-TAIL:], len(encoded)

    @abstractmethod
    def name(self, i: int) -> str:
        """Where image ``i`` lies, for messages."""

    @abstractmethod
    def listing(self) -> Iterator[bytes]:
        """What tells these images from others without reading them, for a hash; not where they lie."""


class ImageBatches(Dataset):
    """Batches decoded from images.

    Args:
        images: what to serve.
        shape: ``(C, H, W)`` of an example.
        levels: number of levels of a pixel.
    """

    def __init__(self, images: Images, shape: tuple[int, int, int], levels: int) -> None:
        self.images, self.shape, self.levels = images, shape, levels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: BatchKey) -> tuple[Tensor, Tensor | None]:
        """The batch ``(x, y)`` of a key: uint8 ``(B, C, H, W)`` and ``(B,)`` or None."""
        x = torch.empty(len(key.index), *self.shape, dtype=torch.uint8)
        for position, image in self.decoded(key.index):
            x[position] = image
        y = None if self.images.labels is None else self.images.labels[key.index]
        return quantise(x, self.levels), y

    def decoded(self, index: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Positions in ``index`` ``(B,)`` with the image there, uint8 ``(C, H, W)`` of 256 levels, in any order."""
        for position, encoded in self.images.read(index):
            try:
                yield position, decode(encoded, self.shape)
            except ValueError as error:
                name = self.images.name(int(index[position]))
                raise UnreadableImage(f"{name} cannot be used: {error}") from error

    def inspect(self) -> None:
        """Look at the headers; decode those images of which they do not tell whether all is there and opaque, or all in a small
        split. Bits that are flipped in the midst of an image of a large split are found when it is read, if at all.

        Of more than :data:`LOOKED_AT` images, so many that are evenly spaced are looked at; of those to be decoded, about
        :data:`DECODED` likewise. A split of at most :data:`SMALL` bytes is small.

        Raises:
            UnreadableImage: naming the first that cannot be used.
        """
        n = len(self.images)
        index = torch.linspace(0, n - 1, min(n, LOOKED_AT), dtype=torch.float64).round().long()
        unsettled, total = [], 0
        for i in index.tolist():
            head, tail, size = self.images.head_and_tail(i)
            total += size
            if not settled(head, tail, size):
                unsettled.append(i)
        small = n <= LOOKED_AT and total <= SMALL
        some = unsettled[:: len(unsettled) // DECODED + 1]
        for _ in self.decoded(index if small else torch.tensor(some, dtype=torch.int64)):
            pass


class StreamedData(Data):
    """A data set of images in files. A new one writes :meth:`find`.

    Args:
        root: the folder that holds it.
        common: see :class:`genexp.data.base.Data`.

    Raises:
        ValueError: an argument is out of range. Once set up: the images are not what the arguments declare.
        UnreadableImage: at the batch that holds a damaged image.
    """

    def __init__(self, *, root: str | PathLike[str] | None, **common: Any) -> None:
        super().__init__(**common)
        if root is None:
            raise ValueError(f"data.root=null: set it to the folder that holds the images of {self.name}")
        if len(self.shape) != 3 or self.shape[0] not in (1, 3) or min(self.shape) < 1:
            raise ValueError(f"data.shape={list(self.shape)}: must be [1, H, W] for grey or [3, H, W] for RGB images")
        if self.levels is None:
            raise ValueError("data.levels=null: the pixels of images are integers, set 2 to 256")
        self.root = Path(root).expanduser()
        self._images: dict[str, Images] = {}

    @abstractmethod
    def find(self, split: str) -> Images:
        """The images of a split in :data:`genexp.data.base.SPLITS`, of which there is at least one.

        Raises:
            FileNotFoundError, ValueError: there are none, or they are not what the config declares.
        """

    def setup(self, stage: str | None = None) -> None:
        """List the images of all splits, once: what is wrong with one is to be known before training."""
        for split in SPLITS:
            self.images(split)

    def inspect(self) -> None:
        """See :meth:`ImageBatches.inspect`, of each split."""
        for split in SPLITS:
            self.batches(split).inspect()

    def images(self, split: str) -> Images:
        """The images of a split, listed at the first call and checked as far as that goes without decoding them."""
        if split not in self._images:
            if not self.root.is_dir():
                raise FileNotFoundError(
                    f"data.root={str(self.root)!r} is not a folder: set it to the one that holds the images of {self.name}"
                )
            images = self.find(one_of("split", split, SPLITS))
            self._check_labels(images.labels)
            self._images[split] = images.first(self._limited(len(images))) if split == "train" else images
        return self._images[split]

    def size(self, split: str) -> int:
        return len(self.images(split))

    def batches(self, split: str) -> ImageBatches:
        return ImageBatches(self.images(split), self.shape, self.levels)

    def fingerprint(self, split: str) -> str:
        """16 hexadecimal digits of names, sizes, labels and order of the images, and of how they are prepared.

        Pixels are not read: an image that is exchanged for another with the same name and number of bytes goes
        unnoticed."""
        digest = hashlib.sha256(f"{self.shape} {self.levels} {PREPARATION} ".encode())
        images = self.images(split)
        for part in images.listing():
            digest.update(part)
        if images.labels is not None:
            digest.update(images.labels.numpy())
        return digest.hexdigest()[:16]

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {
            "shape": "x".join(map(str, self.shape)),
            "preparation": f"{PREPARATION}, x * {self.levels} // 256",
            "fingerprint": self.fingerprint(split),
        }
