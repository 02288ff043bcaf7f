"""The files of a draw, written batch by batch: one array, or single files that other programs read."""

import os
import shutil
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genexp.callbacks.pictures import are_images
from genexp.callbacks.sounds import write_wav
from genexp.probability.quantize import mu_law_waveform, unit
from genexp.record.errors import ConfigError


class Writer(ABC):
    """Writes ``n`` samples.

    Args:
        output: where to write, without suffix.
        n: how many come.
        levels: of the data; None for reals.
        sample_rate: of sound; None for other data.
    """

    def __init__(self, output: Path, n: int, levels: int | None, sample_rate: int | None) -> None:
        self.output, self.n, self.levels, self.sample_rate = output, n, levels, sample_rate
        self.done = 0

    def add(self, x: Tensor) -> None:
        """Further samples ``(B, *shape)`` in the data space, on the CPU."""
        self.write(x)
        self.done += len(x)

    @abstractmethod
    def write(self, x: Tensor) -> None:
        """Samples of which ``done`` have come before."""

    @abstractmethod
    def close(self, y: Tensor | None) -> list[Path]:
        """The files, once all samples and their labels ``(n,)`` are there."""

    def beside(self, ending: str) -> Path:
        return self.output.with_name(f"{self.output.name}{ending}")

    def labels(self, y: Tensor | None) -> list[Path]:
        """The file of the labels."""
        if y is None:
            return []
        np.save(self.beside("-labels.npy"), y.cpu().numpy())
        return [self.beside("-labels.npy")]


class Array(Writer):
    """``<output>.npy``: the data space as it is."""

    def write(self, x: Tensor) -> None:
        array = self.convert(x).numpy()
        if self.done == 0:
            shape = (self.n, *array.shape[1:])
            part = self.beside(".npy.part")
            self.array = np.lib.format.open_memmap(part, mode="w+", dtype=array.dtype, shape=shape)
        self.array[self.done : self.done + len(array)] = array

    def convert(self, x: Tensor) -> Tensor:
        return x.contiguous()

    def close(self, y: Tensor | None) -> list[Path]:
        self.array.flush()
        del self.array
        os.replace(self.beside(".npy.part"), self.beside(".npy"))
        return [self.beside(".npy"), *self.labels(y)]


class Archive(Array):
    """``<output>.npz``, as the evaluator of guided diffusion reads it: ``arr_0`` uint8 ``(n, H, W, 3)`` of images, the data space
    as it is of others, and ``arr_1`` the labels."""

    def convert(self, x: Tensor) -> Tensor:
        if not are_images(x.shape[1:], self.levels):
            return x.contiguous()
        return bytes_of(x, self.levels).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()

    def close(self, y: Tensor | None) -> list[Path]:
        parts = [*Array.close(self, None), *self.labels(y)]
        path, part = self.beside(".npz"), self.beside(".npz.part")
        with zipfile.ZipFile(part, "w") as archive:
            for i, source in enumerate(parts):
                member = zipfile.ZipInfo(f"arr_{i}.npy")  # without the time, so that equal draws are equal files
                with open(source, "rb") as file, archive.open(member, "w", force_zip64=True) as into:
                    shutil.copyfileobj(file, into, 1 << 20)
        for source in parts:
            source.unlink()
        os.replace(part, path)
        return [path]


class SingleFiles(Writer):
    """``<output>/000000.<ending>`` and so on."""

    ending: str

    def path(self, i: int) -> Path:
        return self.output / f"{i:06d}.{self.ending}"

    @abstractmethod
    def write_one(self, x: Tensor, path: Path) -> None: ...

    def write(self, x: Tensor) -> None:
        self.output.mkdir(exist_ok=True)
        for i, one in enumerate(x, self.done):
            self.write_one(one, self.path(i))

    def close(self, y: Tensor | None) -> list[Path]:
        return [self.output, *self.labels(y)]


class Pictures(SingleFiles):
    """PNG files of 8 bits, grey or in colour, in which the highest level is 255."""

    ending = "png"

    def write_one(self, x: Tensor, path: Path) -> None:
        array = bytes_of(x, self.levels).permute(1, 2, 0).numpy()
        Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(path)


class Clips(SingleFiles):
    """WAV files of 16 bits, mono."""

    ending = "wav"

    def write_one(self, x: Tensor, path: Path) -> None:
        write_wav(mu_law_waveform(x, self.levels), self.sample_rate, path)


FORMATS: dict[str, Callable[..., Writer]] = {"npy": Array, "npz": Archive, "png": Pictures, "wav": Clips}


def check_format(format_: str, data: str, shape: tuple[int, ...], levels: int | None, sample_rate: int | None) -> None:
    """Refuse a format that the data do not have.

    Args:
        format_: key of :data:`FORMATS`.
        data: their name.
        shape, levels, sample_rate: of the data.

    Raises:
        ConfigError: naming it, and the formats that there are.
    """
    fit = ["npy", "npz"]
    if sample_rate is not None:
        fit.append("wav")
    elif are_images(shape, levels):
        fit.append("png")
    if format_ not in fit:
        what = {"png": "grey or colour images", "wav": "sound"}[format_]
        raise ConfigError(f"format={format_}: is for {what}, and {data} has none; formats that fit: {', '.join(fit)}")


def bytes_of(x: Tensor, levels: int) -> Tensor:
    """Levels as uint8 from 0 to 255, of the same shape."""
    return (unit(x, levels) * 255).round().to(torch.uint8)
