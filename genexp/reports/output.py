"""Files that a person asked for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genexp.record.errors import ConfigError, nearest
from genexp.record.provenance import naming


def check_output(option: str, path: str | Path) -> Path:
    """Refuse a file that could not be written, before the work for it is done.

    Args:
        option: that names it, e.g. ``--csv``.
        path: the file.

    Raises:
        ConfigError: it is a folder, its folder is missing, or it may not be written.
    """
    path = Path(path)
    folder = path.parent
    try:
        if not str(path).strip() or path.is_dir():
            raise ConfigError(f"{option} {path}: is a folder, must be a file")
        if not folder.is_dir():
            beside = [str(p) for p in folder.parent.glob("*/")] if folder.parent.is_dir() else []
            raise ConfigError(f"{option} {path}: {folder} is not a folder.{nearest(str(folder), beside)}")
        if not os.access(path if path.exists() else folder, os.W_OK):
            raise ConfigError(f"{option} {path}: may not be written")
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{option} {path}: {getattr(error, 'strerror', None) or error}") from error
    return path


@contextmanager
def writing(option: str, path: Path) -> Iterator[None]:
    """Tell in one line that a file could not be written.

    Raises:
        ConfigError: naming the option and the file.
    """
    try:
        with naming(path):
            yield
    except OSError as error:
        place = "" if str(error.filename) == str(path) else f"{error.filename}: "
        raise ConfigError(f"{option} {path}: {place}{error.strerror}") from error
