"""Where the examples of a WebDataset tar shard lie, so that each can be read without those before it.

The index is made once, by reading the headers of the archive and the labels, and kept in the cache.
"""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genexp.data import bounded
from genexp.data.files import cache_folder
from genexp.data.images import LARGEST, SUFFIXES

OFFSET, SIZE, LABEL = range(3)
"""Columns of an index: first byte of the image in the shard, its number of bytes, its label or -1."""
LABELS = {".cls": 2**10, ".json": 2**20}
"""Suffixes of members that hold labels, and the most bytes such a member may have."""
LARGEST_LABEL = 2**31
HEADERS = 2**24
"""Most bytes that are read at once beside images: of long names and other headers."""
PADDING = 2**24
"""Most bytes of zeros after the end of an archive."""


@dataclass(frozen=True)
class ShardIndex:
    """What a shard holds.

    Attributes:
        rows: ``(N, 3)`` int64, a row per example: see :data:`OFFSET`, :data:`SIZE`, :data:`LABEL`.
        others: members that are neither images nor labels: their numbers by suffix.
    """

    rows: np.ndarray
    others: dict[str, int]

    def fits(self, size: int) -> bool:
        """Whether it can be the index of a file of ``size`` bytes."""
        rows = self.rows
        if rows.dtype != np.int64 or rows.ndim != 2 or rows.shape[1] != 3 or not len(rows):
            return False
        offset, length, label = rows.T
        inside = (offset > 0) & (offset % tarfile.BLOCKSIZE == 0) & (length >= 0) & (length <= LARGEST)
        inside &= (offset <= size) & (label >= -1) & (label < LARGEST_LABEL)
        return bool(inside.all() and (offset + length <= size).all() and (np.diff(offset) > 0).all())


def index_of(shard: Path, label: str) -> tuple[ShardIndex, str | None]:
    """The index of a shard, from the cache if this file was seen before: same path, size and time of change. One in the cache
    that is damaged is made anew.

    Args:
        shard: an uncompressed tar archive. Neighbouring members whose names agree up to the first dot of the base name
            are one example: an image (``key.png``, ``key.jpg`` ...) and, if there are labels, ``key.cls`` or ``key.json``.
        label: the entry of ``key.json`` that holds the class; used where there is no ``key.cls``.

    Returns:
        The index, and why it could not be kept, if so.

    Raises:
        ValueError: it is not such an archive, is cut off or goes on after its end; names the shard and the example.
    """
    size = bounded.size_of(shard, largest=2**62)
    seen = f"{shard.resolve()} {size} {shard.stat().st_mtime_ns} {label}"
    path = cache_folder() / "shards" / f"{shard.name[:100]}-{hashlib.sha256(os.fsencode(seen)).hexdigest()[:32]}.npz"
    index = _kept(path)
    if index is not None and index.fits(size):
        return index, None
    index = scan(shard, label)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".index-") as temporary:
            partial = Path(temporary) / "index.npz"
            np.savez(partial, rows=index.rows, others=np.frombuffer(json.dumps(index.others).encode(), np.uint8))
            os.replace(partial, path)  # complete or not there, whoever else writes it
    except OSError as error:
        return index, f"{path.parent} cannot be written ({error.strerror})"
    return index, None


def _kept(path: Path) -> ShardIndex | None:
    """An index from the cache; None if there is none that can be read."""
    try:
        bounded.size_of(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            others = json.loads(kept["others"].tobytes())
            return ShardIndex(kept["rows"], {str(suffix): int(n) for suffix, n in others.items()})
    except Exception:  # whatever it is, it can be made anew
        return None


def scan(shard: Path, label: str) -> ShardIndex:
    """As :func:`index_of`, from the archive itself."""
    size = bounded.size_of(shard, largest=2**62)
    try:
        with _Headers(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            examples, others = _members(archive, label, size)
            _check_end(file, archive.offset, size)
    except Exception as error:  # tarfile and json raise whatever they stumble over
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{shard} is not a shard of images (an uncompressed tar archive): {text}") from error
    if not examples:
        raise ValueError(f"{shard} holds no examples")
    if missing := [key for key, row in examples.items() if row[OFFSET] < 0]:
        raise ValueError(f"{shard}: {missing[0].rpartition('/')[2]} has no image ({', '.join(SUFFIXES)})")
    return ShardIndex(np.array(list(examples.values()), dtype=np.int64), dict(others))


class _Headers(io.FileIO):
    """An archive of which headers are read: ``tarfile`` reads as much as they say that a name has."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADERS:
            raise ValueError(f"a header says that {size:,} bytes belong to it")
        return super().read(size)


def _members(archive: tarfile.TarFile, label: str, size: int) -> tuple[dict[str, list[int]], Counter[str]]:
    """The rows of the examples by key, and the numbers of other members by suffix."""
    examples: dict[str, list[int]] = {}
    others: Counter[str] = Counter()
    last, end = "", 0
    for member in archive:
        archive.members.clear()  # kept for nothing, and there may be millions
        if member.offset < end or member.size < 0 or archive.offset <= member.offset:
            raise ValueError(f"the header at byte {member.offset:,} leads back")
        end = member.offset_data
        folder, _, base = member.name.rpartition("/")
        stem, _, suffix = base.partition(".")
        key, suffix = f"{folder}/{stem}", f".{suffix.lower()}"
        is_image = suffix.endswith(SUFFIXES)
        if not member.isfile():
            if not member.isdir():
                others["links" if member.islnk() or member.issym() else "special"] += 1
            continue
        largest = LARGEST if is_image else LABELS.get(suffix)
        if largest is not None and member.issparse():
            raise ValueError(f"{base} is a sparse member: write the archive without --sparse")
        if largest is not None and member.size > largest:
            raise ValueError(f"{base} has {member.size:,} bytes: must be at most {largest:,}")
        if member.offset_data + member.size > size:
            raise ValueError(f"it is cut off in {base}")
        if key != last and key in examples:
            raise ValueError(f"the members of {stem} do not lie together")
        row = examples.setdefault(key, [-1, -1, -1])
        last = key
        if is_image:
            if row[OFFSET] >= 0:
                raise ValueError(f"{stem} has two images")
            row[OFFSET], row[SIZE] = member.offset_data, member.size
        elif suffix == ".cls":
            row[LABEL] = _label(archive.extractfile(member).read().decode().strip(), base)
        elif suffix == ".json":
            if row[LABEL] < 0:
                entries = json.loads(archive.extractfile(member).read())
                if not isinstance(entries, dict):
                    raise ValueError(f"{base} holds no object with the entry {label}")
                row[LABEL] = _label(entries[label], base) if label in entries else -1
        else:
            others[f".{suffix.rpartition('.')[2]}" if suffix != "." else "no suffix"] += 1
    return examples, others


def _check_end(file: io.FileIO, offset: int, size: int) -> None:
    """Refuse an archive without the two blocks of zeros that end it at ``offset``, or with anything after them."""
    file.seek(offset)
    end = file.read(2 * tarfile.BLOCKSIZE)
    if len(end) < 2 * tarfile.BLOCKSIZE and not any(end):
        raise ValueError("it is cut off (no end-of-archive blocks)")
    if any(end):
        raise ValueError(f"it is damaged, or cut off: what is at byte {offset:,} is neither a header nor the end")
    if size - offset > PADDING:
        raise ValueError(f"it goes on for {size - offset:,} bytes after its end")
    while rest := file.read(2**20):
        if any(rest):
            raise ValueError("it goes on after its end: several archives in one file are read by no one")


def _label(value: str | int, base: str) -> int:
    """The number of a class, as it stands in the member ``base``."""
    shown = value[:50] if isinstance(value, str) else value
    if isinstance(value, bool) or not str(value).isdecimal() or len(str(value)) > 10 or int(value) >= LARGEST_LABEL:
        raise ValueError(f"{base} says {shown!r}, which is not the number of a class")
    return int(value)


def member_name(shard: Path, offset: int) -> str:
    """Name of the member whose content begins at ``offset``: it stands in the block before it."""
    with shard.open("rb") as file:
        file.seek(offset - tarfile.BLOCKSIZE)
        try:
            return tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape").name
        except tarfile.TarError:
            return f"the member at byte {offset}"
