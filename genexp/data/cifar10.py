"""CIFAR-10 (Krizhevsky 2009, "Learning multiple layers of features from tiny images"), from its binary version.

50,000 + 10,000 colour photographs of ten kinds of things, 32x32, 256 levels: five training batches and a test batch of
10,000 images each. The binary version needs no pickle to be executed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genexp.data.base import SPLITS
from genexp.data.files import RemoteFile, read
from genexp.data.images import quantise
from genexp.data.in_memory import FileData

FOLDER, URL = "cifar-10-batches-bin", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE = RemoteFile(
    FOLDER, "cifar-10-binary.tar.gz", URL, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
)


def _file(name: str, sha256: str) -> RemoteFile:
    return RemoteFile(FOLDER, name, URL, sha256, ARCHIVE)


TRAINING = (
    _file("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    _file("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    _file("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    _file("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    _file("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
)
TEST = _file("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""By their labels, from 0."""
RECORD = 1 + 3 * 32 * 32
"""Bytes of an example: the label, then the pixels channel by channel and row by row."""


def parse_records(content: bytes, source: str | Path = "the file") -> tuple[Tensor, Tensor]:
    """The images uint8 ``(N, 3, 32, 32)`` (red, green, blue) and labels int64 ``(N,)`` of a batch.

    Raises:
        ValueError: there is no record, or a part of one; names ``source``.
    """
    if not content or len(content) % RECORD:
        raise ValueError(f"{source} has {len(content):,} bytes: must be a multiple of {RECORD:,}, one record or more")
    records = torch.tensor(np.frombuffer(content, np.uint8).reshape(-1, RECORD))
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()


class Cifar10(FileData):
    """The photographs in ``levels`` levels (see :func:`genexp.data.images.quantise`).

    Training are the first of the images in ``batches``, validation the last of them, test the first of the test batch.

    Args:
        batches: which of the five training batches, by their numbers from 1; the others need not be there.
        splits: shares: of ``train`` and ``validation`` in the images of ``batches``, of ``test`` in the test batch.
        common: see :class:`genexp.data.in_memory.FileData`.

    Raises:
        ValueError: there is no such batch, or the shares overlap or are none.
    """

    class_names: ClassVar[Sequence[str]] = CLASSES

    def __init__(self, *, batches: Sequence[int], splits: Mapping[str, float], **common: Any) -> None:
        super().__init__(**common)
        self.numbers, self.splits = tuple(batches), dict(splits)
        if not self.numbers or len(set(self.numbers)) < len(self.numbers) or not set(self.numbers) <= {1, 2, 3, 4, 5}:
            raise ValueError(f"data.batches={list(batches)}: must be one or several of 1, 2, 3, 4, 5, each once")
        shares = self.splits
        if set(shares) != set(SPLITS) or not all(0 < share <= 1 for share in shares.values()):
            raise ValueError(f"data.splits={shares}: must give train, validation and test, each above 0 and at most 1")
        if shares["train"] + shares["validation"] > 1 + 1e-9:
            raise ValueError(
                f"data.splits={shares}: train and validation share the training batches, 1 together at most"
            )

    def files(self) -> Sequence[RemoteFile]:
        return (*(TRAINING[number - 1] for number in self.numbers), TEST)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        paths = [self.path(file) for file in self.files() if (file is TEST) == (split == "test")]
        parts = [parse_records(read(path), path) for path in paths]
        x, y = (torch.cat(part) for part in zip(*parts, strict=True))
        n = max(round(self.splits[split] * len(x)), 1)
        part = slice(-n, None) if split == "validation" else slice(n)
        return quantise(x[part], self.levels), y[part]

    def protocol(self, split: str) -> dict[str, Any]:
        source = {} if split == "test" else {"batches": " ".join(map(str, self.numbers))}
        return super().protocol(split) | {"quantisation": f"x * {self.levels} // 256"} | source
