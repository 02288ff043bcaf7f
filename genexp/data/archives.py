"""Data sets that are a folder of many small files, published as one archive."""

import hashlib
import io
import os
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from genexp.data import bounded
from genexp.data.files import RemoteFile, check_place, not_found, places


@dataclass(frozen=True, kw_only=True)
class RemoteFolder(RemoteFile):
    """A folder ``<folder>/<name>`` of files, published inside a tar archive under ``url``.

    Args:
        folder, name, url: see :class:`genexp.data.files.RemoteFile`; ``url`` is that of the archive.
        sha256: of the files, not of the archive, which servers pack anew: see :func:`digest`.
        inside: path of the folder in the archive.
        members: names of all its files; others that lie beside them are ignored.
    """

    inside: str
    members: tuple[str, ...]


def digest(contents: Mapping[str, bytes]) -> str:
    """SHA-256, 64 hexadecimal digits, over the files in the order of their names: of each its name, a zero byte, its length
    as 8 bytes with the lowest first, and its bytes."""
    found = hashlib.sha256()
    for name in sorted(contents):
        found.update(name.encode() + b"\0" + len(contents[name]).to_bytes(8, "little") + contents[name])
    return found.hexdigest()


def locate_folder(remote: RemoteFolder, root: str | os.PathLike[str] | None) -> Path:
    """A folder with all files of ``remote``, downloaded into the cache if there is none yet.

    Raises:
        FileNotFoundError: ``root`` is not a folder, a folder lacks files, or there is none and the download failed.
        ValueError: the download is not what was published.
    """
    folders = places(remote, root)
    for folder in folders:
        if (folder / remote.name).is_dir():
            missing = [name for name in remote.members if not (folder / remote.name / name).is_file()]
            if missing:
                raise FileNotFoundError(
                    f"{folder / remote.name} lacks {len(missing):,} of {len(remote.members):,} files, {missing[0]} first: "
                    f"put them there, or delete it and run again to download {remote.url}"
                )
            return folder / remote.name
    try:
        check_place(folders[-1], remote.name)
        return _download(remote, folders[-1])
    except (OSError, HTTPException, tarfile.TarError, EOFError, zlib.error) as error:
        raise not_found(remote, folders, error) from error


def read_folder(remote: RemoteFolder, path: Path) -> dict[str, bytes]:
    """The bytes of the files of ``remote`` by their names, as they lie in ``path``; :func:`check` tells whether they are
    those that were published.

    Raises:
        ValueError: one is no ordinary file or too large; names it.
    """
    return {name: bounded.read_bytes(path / name) for name in remote.members}


def check(remote: RemoteFolder, contents: Mapping[str, bytes], source: str | Path) -> None:
    """Compare files with those published.

    Raises:
        ValueError: they differ; names ``source``.
    """
    found = digest(contents)
    if found != remote.sha256:
        raise ValueError(
            f"the {len(contents):,} files of {source} have sha256 {found} together, but those published have "
            f"{remote.sha256}: they are damaged or another version; delete them and run again to download {remote.url}"
        )


def _download(remote: RemoteFolder, folder: Path) -> Path:
    """The folder appears complete and verified, or not at all."""
    with urllib.request.urlopen(remote.url, timeout=60) as response:
        archive = io.BytesIO(bounded.read_all(response, f"the download of {remote.url}"))
    wanted, contents = set(remote.members), {}
    with tarfile.open(fileobj=archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if member.offset_data + member.size > bounded.LARGEST:
                raise ValueError(f"the download of {remote.url} holds more than {bounded.LARGEST:,} bytes")
            if member.isfile() and str(path.parent) == remote.inside and path.name in wanted:
                contents[path.name] = tar.extractfile(member).read()
    check(remote, contents, remote.url)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        partial = Path(temporary) / remote.name
        partial.mkdir()
        for name, content in contents.items():
            (partial / name).write_bytes(content)
        os.replace(partial, folder / remote.name)
    return folder / remote.name
