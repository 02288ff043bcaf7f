"""Finding the files of a data set: in the user's folder, else in the download cache, else at its own address.

Every file is checked against its published SHA-256 before it is used, wherever it came from.
"""

import gzip
import hashlib
import os
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import IO

from genexp.data import bounded


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Args:
        folder: sub-folder it lies in, under ``data.root`` and under the cache, e.g. ``mnist``.
        name: file name. ``<name>.gz`` is accepted in its place when it unzips to the same bytes.
        url: address it is downloaded from.
        sha256: of the file as published under ``url``, 64 hexadecimal digits.
        archive: the tar archive that ``url`` gives, where the file is published as the member ``<folder>/<name>`` of one;
            ``sha256`` is then that of the member. None if the file is published by itself.
    """

    folder: str
    name: str
    url: str
    sha256: str
    archive: "RemoteFile | None" = None


def cache_folder() -> Path:
    """Where downloads are kept: ``$GENEXP_CACHE``, or ``~/.cache/genexp``. Whether it is there, or can be made, is not looked at;
    without a home it is a place where nothing can be."""
    folder = Path(os.environ.get("GENEXP_CACHE") or "~/.cache/genexp")
    try:
        return folder.expanduser()
    except RuntimeError:
        return Path(os.devnull) / ".cache" / "genexp"


def locate(file: RemoteFile, root: str | os.PathLike[str] | None) -> Path:
    """Path of a verified copy of ``file``, downloaded into the cache if there is none yet.

    Args:
        file: what to look for. Of one in an archive, the archive too is looked for in both folders, and kept in the cache.
        root: the user's data folder (``data.root``, by default ``$GENEXP_DATA``), looked at first, or None.

    Returns:
        Path of the file, or of its gzipped copy ``<name>.gz``.

    Raises:
        FileNotFoundError: ``root`` is not a folder, or the file is nowhere and cannot be downloaded.
        ValueError: the file found, or the download, does not have the published SHA-256.
    """
    folders = places(file, root)
    if found := _found(file, folders):
        return found
    try:
        check_place(folders[-1], file.name)
        if file.archive is None:
            return download(file, folders[-1])
        return unpack(file, _found(file.archive, folders) or download(file.archive, folders[-1]), folders[-1])
    except (OSError, HTTPException) as error:
        raise not_found(file, folders, error) from error


def places(file: RemoteFile, root: str | os.PathLike[str] | None) -> list[Path]:
    """The folders in which ``file`` is looked for: the user's, if there is one, then the cache, where downloads go.

    Raises:
        FileNotFoundError: ``root`` is not a folder.
    """
    folders = [cache_folder() / file.folder]
    if root is not None:
        if not Path(root).is_dir():
            raise FileNotFoundError(
                f"data.root={str(root)!r} is not a folder (data.root comes from the environment variable "
                "GENEXP_DATA unless you set it): correct it, or unset both to download into the cache"
            )
        folders.insert(0, Path(root) / file.folder)
    return folders


class NoPlace(OSError):
    """There is no folder that downloads could be written to."""


def check_place(folder: Path, name: str) -> None:
    """Make the folder that a download goes to.

    Raises:
        NoPlace: it cannot be made or written; names it, ``name`` and what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-"):
            pass
    except OSError as error:
        raise NoPlace(
            f"there is no place to download {name} to: {folder} cannot be written ({error.strerror}); set GENEXP_CACHE to a "
            "folder that can"
        ) from error


def not_found(file: RemoteFile, folders: list[Path], error: Exception) -> FileNotFoundError:
    """``file`` is in none of ``folders``, and its download failed with ``error``."""
    looked = " and ".join(str(folder) for folder in folders)
    if isinstance(error, NoPlace):
        return FileNotFoundError(
            f"{file.name} is not in {looked}, and {error}, or data.root (or GENEXP_DATA) to the one that holds "
            f"{file.folder}/{file.name}"
        )
    return FileNotFoundError(
        f"{file.name} is not in {looked}, and downloading {file.url} failed ({error}): put it there, "
        f"or set data.root (or GENEXP_DATA) to the folder that holds {file.folder}/{file.name}"
    )


def _found(file: RemoteFile, folders: Sequence[Path]) -> Path | None:
    """A verified copy of ``file`` in the first of ``folders`` that has one."""
    for folder in folders:
        for name in (file.name, f"{file.name}.gz"):
            if (folder / name).is_file():
                verify(folder / name, file)
                return folder / name
    return None


def download(file: RemoteFile, folder: Path) -> Path:
    """Download ``file`` into ``folder``; the file appears there complete and verified, or not at all.

    Raises:
        OSError: the address cannot be read or the folder cannot be written.
        ValueError: the download does not have the published SHA-256.
    """
    with urllib.request.urlopen(file.url, timeout=60) as response:
        return _keep(file, response, folder, f"the download of {file.url}")


def unpack(file: RemoteFile, archive: Path, folder: Path) -> Path:
    """Copy ``file`` from the tar archive it is published in to ``folder``, where it appears complete and verified, or not
    at all. Nothing else is unpacked.

    Raises:
        OSError: the archive cannot be read or the folder cannot be written.
        ValueError: there is no such member, or it does not have the published SHA-256.
    """
    wanted = f"{file.folder}/{file.name}"
    try:
        with tarfile.open(archive) as members, members.extractfile(wanted) as member:
            return _keep(file, member, folder, f"{file.name} in {archive}")
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise ValueError(f"{archive} holds no {wanted}: {error}") from error


def _keep(file: RemoteFile, source: IO[bytes], folder: Path, what: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        partial = Path(temporary) / file.name
        with partial.open("wb") as out:
            for part in bounded.parts(source, what):
                out.write(part)
        found = _sha256(partial)
        if found != file.sha256:
            raise ValueError(
                f"{what} has sha256 {found}, but the published file has {file.sha256}: "
                f"run again, or put the published file into {folder}"
            )
        os.replace(partial, folder / file.name)
    return folder / file.name


def verify(path: Path, file: RemoteFile) -> None:
    """Check a copy of ``file`` against its SHA-256; of ``<name>.gz`` the unzipped bytes are checked.

    An unchanged file is hashed once per process.

    Raises:
        ValueError: it differs.
    """
    size = bounded.size_of(path)
    found = _sha256_once(path, path.name != file.name, path.stat().st_mtime_ns, size)
    if found != file.sha256:
        raise ValueError(
            f"{path} has sha256 {found}, but the published file has {file.sha256}: it is damaged or another "
            f"version; delete it and run again to download it from {file.url}"
        )


@lru_cache(maxsize=256)
def _sha256_once(path: Path, unzip: bool, mtime_ns: int, size: int) -> str:
    return _sha256(path, unzip)


def _sha256(path: Path, unzip: bool = False) -> str:
    found = hashlib.sha256()
    with gzip.open(path) if unzip else path.open("rb") as stream:
        try:
            for part in bounded.parts(stream, path):
                found.update(part)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return "(not readable as gzip)"
    return found.hexdigest()


def read(path: Path) -> bytes:
    """The bytes of a file, unzipped if its name ends in ``.gz``.

    Raises:
        ValueError: it is no ordinary file, too large or damaged; names it.
    """
    return bounded.read_gzip(path) if path.suffix == ".gz" else bounded.read_bytes(path)
