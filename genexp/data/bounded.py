"""Reading files that somebody else made: only ordinary files, and only so many bytes of them."""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LARGEST = 2**30
"""Most bytes of a file of a published data set, 1 GiB, also when unzipped."""
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def size_of(path: str | os.PathLike[str], largest: int = LARGEST) -> int:
    """The number of bytes of a file, which is not opened: to open a pipe is to wait for ever.

    Args:
        path: of the file, or a link to it.
        largest: number of bytes allowed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ordinary file, or too large; names it.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        there = os.path.islink(path)
        raise FileNotFoundError(f"{path} is {'a link to a file that is not' if there else 'not'} there") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is {KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file")
    if found.st_size > largest:
        raise ValueError(f"{path} has {found.st_size:,} bytes: must be at most {largest:,}")
    return found.st_size


def read_bytes(path: str | os.PathLike[str], largest: int = LARGEST) -> bytes:
    """The bytes of a file; arguments and errors as of :func:`size_of`."""
    size = size_of(path, largest)
    with open(path, "rb") as file:
        return file.read(size)


def read_gzip(path: Path, largest: int = LARGEST) -> bytes:
    """The bytes of a gzipped file, unzipped; ``largest`` of them are allowed, however few they were before.

    Raises:
        ValueError: as :func:`size_of`, or it is damaged; names it.
    """
    size_of(path, largest)
    try:
        with gzip.open(path) as file:
            return read_all(file, path, largest)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be unzipped: {error}") from error


def read_all(file: IO[bytes], what: str | os.PathLike[str], largest: int = LARGEST) -> bytes:
    """The rest of an open file.

    Raises:
        ValueError: it goes on after ``largest`` bytes; names ``what``.
    """
    return b"".join(parts(file, what, largest))


def parts(file: IO[bytes], what: str | os.PathLike[str], largest: int = LARGEST) -> Iterator[bytes]:
    """As :func:`read_all`, a mebibyte at a time."""
    total = 0
    while part := file.read(2**20):
        total += len(part)
        if total > largest:
            raise ValueError(f"{what} holds more than {largest:,} bytes")
        yield part
