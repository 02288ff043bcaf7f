"""One array of a NumPy archive, read without taking the word of its headers for how much there is."""

import io
import warnings
import zipfile
from math import prod
from pathlib import Path

import numpy as np

from genexp.data import bounded

READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(path: Path, name: str) -> np.ndarray:
    """The array ``name`` of a ``.npz`` file, read-only.

    ``np.load`` makes room for as many items as a header claims before it reads any.

    Raises:
        ValueError: it is no such file, is damaged, too large or holds no numbers under this name; names ``path``.
    """
    bounded.size_of(path)
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            if member.file_size > bounded.LARGEST:
                raise ValueError(f"{name} has {member.file_size:,} bytes: must be at most {bounded.LARGEST:,}")
            if member.compress_type not in PACKED:
                raise ValueError(f"{name} is packed by another method than deflate")
            return _array(archive.read(member))
    except Exception as error:  # zipfile and NumPy raise whatever they stumble over
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is no NumPy archive (.npz) that can be read: {text}") from error


def _array(content: bytes) -> np.ndarray:
    """The array in a ``.npy`` file."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in READERS:
        raise ValueError(f"it has the unknown version {version}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that Python 2 wrote
        shape, by_columns, dtype = READERS[version](file)
    if dtype.kind not in "biufc":
        raise ValueError(f"it holds {dtype}, not numbers")
    if (said := prod(shape) * dtype.itemsize) != len(content) - file.tell():
        raise ValueError(f"it says {said:,} bytes and holds {len(content) - file.tell():,}")
    array = np.frombuffer(content, dtype, offset=file.tell())
    return array.reshape(shape, order="F" if by_columns else "C")
