"""Checkpoints: plain containers, written atomically, with a SHA-256 that is verified before they are read.

The file is an ordinary ``torch.save`` file, readable by ``torch.load(..., weights_only=True)``; the checksum of the rest
is in its zip comment, so that both are replaced in one step.
"""

import hashlib
import io
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from genexp.record.checksum import LENGTH, PREFIX, CorruptCheckpoint, verify
from genexp.record.provenance import naming


class _File(io.BufferedWriter):
    """Keeps the error of writing that ``torch.save`` turns into one of its own, which names no cause."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


def save(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Write to a temporary file in the same folder, fsync, and rename.

    Raises:
        OSError: it cannot be written, e.g. to a full disk; names the file. The one before is still there, and nothing else.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with naming(path):
        try:
            _write(checkpoint, temporary)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    with _File(io.FileIO(path, "w")) as file:
        try:
            torch.save(checkpoint, file)
        except RuntimeError:
            if file.error is not None:
                raise file.error from None
            raise
    with open(path, "r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(-2, os.SEEK_END)
        file.write(LENGTH + PREFIX + digest.encode())
        file.flush()
        os.fsync(file.fileno())


def load(path: str | Path) -> dict[str, Any]:
    """Verify and read a checkpoint onto the CPU; no code in it is executed.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptCheckpoint: its checksum is missing or differs, or it holds more than plain values.
    """
    verify(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual pickle, which is then read or refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's reader raises whatever it stumbles over
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorruptCheckpoint(f"{path}: only weights and plain values are read from a checkpoint: {text}") from error


class AtomicCheckpointIO(CheckpointIO):
    """Gives Lightning's trainer the functions above."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
