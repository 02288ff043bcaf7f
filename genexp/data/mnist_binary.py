"""The binarised MNIST of Larochelle & Murray (2011), "The neural autoregressive distribution estimator".

Each pixel was drawn once with p = grey level, after Salakhutdinov & Murray (2008). The benchmark of
NADE, MADE, VAEs and their successors; it has no labels, and its row order is not MNIST's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genexp.data.files import RemoteFile, read
from genexp.data.in_memory import FileData


def _file(part: str, sha256: str) -> RemoteFile:
    name = f"binarized_mnist_{part}.amat"
    address = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
    return RemoteFile("binarized_mnist", name, f"{address}/{name}", sha256)


FILES = {
    "train": _file("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
    "validation": _file("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
    "test": _file("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
}


def parse_bits(text: bytes, source: str | Path = "the file") -> Tensor:
    """Lines of 784 single digits with one character after each: uint8 ``(N, 1, 28, 28)``.

    Raises:
        ValueError: there are other characters, no line or a part of one; names ``source``.
    """
    bits = np.frombuffer(text, np.uint8)[::2] - ord("0")
    if not text or len(text) % (2 * 784) or bits.max() > 1:  # characters below "0" wrap to large ones
        raise ValueError(f"{source} does not hold lines of 784 zeros and ones, with one character after each")
    return torch.from_numpy(bits).view(-1, 1, 28, 28)


class BinaryMnist(FileData):
    """50,000 training, 10,000 validation and 10,000 test images of 0 and 1, as published."""

    only_levels: ClassVar[int] = 2

    def files(self) -> Sequence[RemoteFile]:
        return tuple(FILES.values())

    def load(self, split: str) -> tuple[Tensor, None]:
        path = self.path(FILES[split])
        return parse_bits(read(path), path), None

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {"binarisation": "fixed, Larochelle & Murray 2011"}
