"""Tables of numbers in text files: an example a row, cut into folds."""

import csv
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genexp.data import bounded
from genexp.data.base import SPLITS
from genexp.data.in_memory import InMemoryData
from genexp.ranges import at_least, inside

SEPARATORS = (",", ";", "\t", " ")


class Table(InMemoryData):
    """Some columns of a text file as vectors of reals: float32 ``(N, D)``, no labels.

    Rows are permuted once and dealt to ``folds`` parts. One is the test split; of the others a share is the validation split.

    Args:
        root: folder of the file.
        file: its name. Numbers are separated by commas, semicolons, tabs or single spaces; the first line may name the columns.
        columns: which ones, by their names or their places from 0 on; None for all.
        folds: number of parts, at least 2.
        fold: the part that is the test split, from 0 on.
        fold_seed: of the permutation.
        validation: share of the other parts, in (0, 1).
        standardise: subtract the mean of every column and divide by its standard deviation, those of training and validation
            together. Likelihoods are those of what comes out.
        common: see :class:`InMemoryData`.

    Raises:
        ValueError: an argument is out of range. Once loaded: no file is named, or it is no such table.
    """

    def __init__(
        self,
        *,
        root: str | PathLike[str] | None,
        file: str | None,
        columns: Sequence[int | str] | None,
        folds: int,
        fold: int,
        fold_seed: int,
        validation: float,
        standardise: bool,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        at_least(2, **{"data.folds": folds})
        inside(0, folds, ends="[)", **{"data.fold": fold})
        inside(0, 1, **{"data.validation": validation})
        self.root, self.file, self.columns = root, file, columns
        self.folds, self.fold, self.fold_seed = folds, fold, fold_seed
        self.validation, self.standardise = validation, standardise
        self._parts: dict[str, Tensor] = {}

    def load(self, split: str) -> tuple[Tensor, None]:
        if self.root is None or self.file is None:
            raise ValueError("data.root and data.file must name a folder, and the file in it")
        if not self._parts:
            self._parts = self._cut(read_table(Path(self.root) / self.file, self.columns))
        return self._parts[split], None

    def _cut(self, table: np.ndarray) -> dict[str, Tensor]:
        order = np.random.Generator(np.random.PCG64(self.fold_seed)).permutation(len(table))
        test = order[self.fold :: self.folds]
        rest = order[np.arange(len(order)) % self.folds != self.fold]
        held_out = round(self.validation * len(rest))
        if min(len(test), held_out, len(rest) - held_out) < 1:
            raise ValueError(f"data.folds={self.folds}: {self.file} has {len(table)} rows, which leave a split empty")
        if self.standardise:
            mean, sd = table[rest].mean(0), table[rest].std(0)
            if not sd.all():
                raise ValueError(f"data.columns: column {int(sd.argmin())} of those chosen is constant; leave it out")
            table = (table - mean) / sd
        parts = {"train": rest[held_out:], "validation": rest[:held_out], "test": test}
        return {split: torch.from_numpy(table[parts[split]]).float() for split in SPLITS}

    def protocol(self, split: str) -> dict[str, Any]:
        columns = "all" if self.columns is None else " ".join(map(str, self.columns))
        own = {"file": self.file, "columns": columns, "standardised": self.standardise}
        return super().protocol(split) | own | {"fold": f"{self.fold} of {self.folds}, seed {self.fold_seed}"}


def read_table(path: Path, columns: Sequence[int | str] | None) -> np.ndarray:
    """The columns of a text file: ``(N, D)`` float64.

    Raises:
        FileNotFoundError, ValueError: it is not there, or no table of finite numbers; names it, and the line.
    """
    try:
        lines = bounded.read_bytes(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file") from error
    rows = [line for line in lines if line.strip()]
    if not rows:
        raise ValueError(f"{path} is empty")
    separator = next((mark for mark in SEPARATORS if mark in rows[0]), ",")
    table = [[field.strip() for field in row] for row in csv.reader(rows, delimiter=separator)]
    names = table[0] if columns_named(table[0]) else None
    chosen = (
        range(len(table[0])) if columns is None else [_place(column, names, len(table[0]), path) for column in columns]
    )
    numbers = []
    for number, row in enumerate(table[1 if names else 0 :], 2 if names else 1):
        try:
            numbers.append([float(row[place]) for place in chosen])
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path}, row {number}: {error}; data.columns chooses columns of numbers") from error
    found = np.array(numbers, dtype=np.float64).reshape(len(numbers), len(chosen))
    if not np.isfinite(found).all():
        raise ValueError(f"{path} holds numbers that are not finite")
    return found


def columns_named(first: Sequence[str]) -> bool:
    """Whether the first row of a table names its columns: none of it is a number."""

    def is_number(field: str) -> bool:
        try:
            float(field)
        except ValueError:
            return False
        return True

    return not any(is_number(field) for field in first)


def _place(column: int | str, names: Sequence[str] | None, width: int, path: Path) -> int:
    if isinstance(column, str):
        if names is None or column not in names:
            known = ", ".join(names) if names else "none, its first line is numbers"
            raise ValueError(f"data.columns: {path} has no column {column}; it has {known}")
        return names.index(column)
    if not 0 <= column < width:
        raise ValueError(f"data.columns: {path} has the columns 0 to {width - 1}, and not {column}")
    return column
