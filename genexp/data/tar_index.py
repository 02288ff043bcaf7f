"""Where the examples of a WebDataset tar shard lie, so that each can be read without those before it.

The index is made once, by reading the headers of the archive and the labels, and kept in the cache.
"""

import hashlib
import json
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from genexp.data.files import cache_folder
from genexp.data.images import SUFFIXES

OFFSET, SIZE, LABEL = range(3)
"""Columns of an index: first byte of the image in the shard, its number of bytes, its label or -1."""


def index_of(shard: Path, label: str) -> np.ndarray:
    """The index of a shard, from the cache if this file was seen before: same path, size and time of change.

    Args:
        shard: an uncompressed tar archive. Neighbouring members whose names agree up to the first dot of the base name
            are one example: an image (``key.png``, ``key.jpg`` ...) and, if there are labels, ``key.cls`` or ``key.json``.
        label: the entry of ``key.json`` that holds the class; used where there is no ``key.cls``.

    Returns:
        ``(N, 3)`` int64, a row per example: see :data:`OFFSET`, :data:`SIZE`, :data:`LABEL`.

    Raises:
        ValueError: it is not such an archive; names the shard and the example.
    """
    stat = shard.stat()
    seen = f"{shard.resolve()} {stat.st_size} {stat.st_mtime_ns} {label}"
    path = cache_folder() / "shards" / f"{shard.name}-{hashlib.sha256(os.fsencode(seen)).hexdigest()[:32]}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    index = scan(shard, label)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".index-") as temporary:
        np.save(Path(temporary) / "index.npy", index)
        os.replace(Path(temporary) / "index.npy", path)  # complete or not there, whoever else writes it
    return index


def scan(shard: Path, label: str) -> np.ndarray:
    """As :func:`index_of`, from the archive itself."""
    examples: dict[str, list[int]] = {}
    last = ""
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                key, suffix = f"{folder}/{stem}", f".{suffix.lower()}"
                if key != last and key in examples:
                    raise ValueError(f"the members of {stem} do not lie together")
                row = examples.setdefault(key, [-1, -1, -1])
                last = key
                if suffix.endswith(SUFFIXES):
                    if row[OFFSET] >= 0:
                        raise ValueError(f"{stem} has two images")
                    row[OFFSET], row[SIZE] = member.offset_data, member.size
                elif suffix == ".cls":
                    row[LABEL] = _label(archive.extractfile(member).read().decode().strip(), base)
                elif suffix == ".json" and row[LABEL] < 0:
                    entries = json.load(archive.extractfile(member))
                    row[LABEL] = _label(entries[label], base) if label in entries else -1
    except (tarfile.TarError, TypeError, ValueError) as error:
        raise ValueError(f"{shard} is not a shard of images (an uncompressed tar archive): {error}") from error
    if not examples:
        raise ValueError(f"{shard} holds no examples")
    if missing := [key for key, row in examples.items() if row[OFFSET] < 0]:
        raise ValueError(f"{shard}: {missing[0].rpartition('/')[2]} has no image ({', '.join(SUFFIXES)})")
    return np.array(list(examples.values()), dtype=np.int64)


def _label(value: str | int, base: str) -> int:
    """The number of a class, as it stands in the member ``base``."""
    if not str(value).isdecimal():
        raise ValueError(f"{base} says {value!r}, which is not the number of a class")
    return int(value)


def member_name(shard: Path, offset: int) -> str:
    """Name of the member whose content begins at ``offset``: it stands in the block before it."""
    with shard.open("rb") as file:
        file.seek(offset - tarfile.BLOCKSIZE)
        return tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape").name
