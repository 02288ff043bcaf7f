"""The SHA-256 at the end of a checkpoint, which is read without what the checkpoint holds."""

import hashlib
import os
from pathlib import Path

from genexp.record.errors import ConfigError

PREFIX = b"sha256:"
COMMENT = len(PREFIX) + 64
"""Length of the zip comment."""
LENGTH = COMMENT.to_bytes(2, "little")
"""That length as the zip format stores it, in the two bytes before the comment; they are zero in what is hashed."""


class CorruptCheckpoint(ConfigError):
    """A checkpoint that is truncated, changed, or not one of ours."""


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
