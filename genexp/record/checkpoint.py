"""Checkpoints: plain containers, written atomically, with a SHA-256 that is verified before they are read.

The file is an ordinary ``torch.save`` file, readable by ``torch.load(..., weights_only=True)``; the checksum of the rest
is in its zip comment, so that both are replaced in one step.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from genexp.record.errors import ConfigError

PREFIX = b"sha256:"
COMMENT = len(PREFIX) + 64
"""Length of the zip comment."""
LENGTH = COMMENT.to_bytes(2, "little")
"""That length as the zip format stores it, in the two bytes before the comment; they are zero in what is hashed."""


class CorruptCheckpoint(ConfigError):
    """A checkpoint that is truncated, changed, or not one of ours."""


def save(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Write to a temporary file in the same folder, fsync, and rename."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    torch.save(checkpoint, temporary)
    with open(temporary, "r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(-2, os.SEEK_END)
        file.write(LENGTH + PREFIX + digest.encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def verify(path: str | Path) -> None:
    """Check that a file is a whole, unchanged checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptCheckpoint: its checksum is missing or differs.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - COMMENT - len(LENGTH)))
        ending = file.read()
        if not ending.startswith(LENGTH + PREFIX):
            raise CorruptCheckpoint(f"{path}: truncated, or not a checkpoint of genexp (no SHA-256 at its end)")
        file.seek(0)
        left = size - len(ending)
        while left > 0:
            block = file.read(min(left, 1 << 22))
            digest.update(block)
            left -= len(block)
        digest.update(b"\0\0")
    if not ending.endswith(PREFIX + digest.hexdigest().encode()):
        raise CorruptCheckpoint(f"{path}: its SHA-256 does not match, the file was changed or damaged")


def recorded_digest(path: str | Path) -> str:
    """The SHA-256 that a checkpoint was written with, in hexadecimal; :func:`verify` says whether it still holds."""
    with open(path, "rb") as file:
        file.seek(len(PREFIX) - COMMENT, os.SEEK_END)
        return file.read().decode()


def load(path: str | Path) -> dict[str, Any]:
    """Verify and read a checkpoint onto the CPU; no code in it is executed."""
    verify(path)
    return torch.load(path, map_location="cpu", weights_only=True)


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
