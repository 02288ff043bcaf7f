"""Binary vectors of the benchmark of Larochelle & Murray (2011) and Germain et al. (2015, MADE, Table 4)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from genexp.data.base import one_of
from genexp.data.files import RemoteFile
from genexp.data.in_memory import FileData
from genexp.data.npz import read_npz


def _file(dataset: str, sha256: str) -> RemoteFile:
    commit = "ace8010eb56461b7ac5104d4baf4ffc171665ebc"
    address = f"https://raw.githubusercontent.com/mgermain/MADE/{commit}/datasets/{dataset}.npz"
    return RemoteFile("uci_binary", f"{dataset}.npz", address, sha256)


FILES = {
    "dna": _file("dna", "df2d2e7ce1469edfead15e41024e108d64f1b4633cfecfc40ef7107cc22c895c"),
    "mushrooms": _file("mushrooms", "4130f1defa3033911fe746a3ab1bb22b0c812bb29e68391a0fbc2d65bab6ae74"),
    "nips": _file("nips", "dbf3b659a49670957c0851971bd51ff952a657f010581d12f6c1e2dca8907b20"),
}
KEYS = {"train": "train_data", "validation": "valid_data", "test": "test_data"}


class UciBinary(FileData):
    """One data set of the benchmark, with its published splits.

    Args:
        dataset: ``dna`` (180 dimensions), ``mushrooms`` (112) or ``nips`` (500).
        common: see :class:`genexp.data.in_memory.FileData`.
    """

    only_levels: ClassVar[int] = 2

    def __init__(self, *, dataset: str, **common: Any) -> None:
        super().__init__(**common)
        self.file = FILES[one_of("data.dataset", dataset, tuple(FILES))]

    def files(self) -> Sequence[RemoteFile]:
        return (self.file,)

    def load(self, split: str) -> tuple[Tensor, None]:
        return torch.tensor(read_npz(self.path(self.file), KEYS[split])).to(torch.uint8), None
