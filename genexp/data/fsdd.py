"""The Free Spoken Digit Dataset (Z. Jakobovski and others, version 1.0.10, CC BY-SA 4.0): English digits, 8 kHz."""

import io
import warnings
from collections.abc import Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genexp.data.archives import RemoteFolder, check, locate_folder, read_folder
from genexp.data.base import one_of
from genexp.data.in_memory import FileData
from genexp.probability.quantize import mu_law_codes

DIGITS = 10
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
REPETITIONS = 50
RECORDINGS = RemoteFolder(
    folder="fsdd",
    name="recordings",
    url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
    sha256="2f17dea19a57e5b41c96377cc76619e34da46105a595ef978b7d26466f8a9689",
    inside="free-spoken-digit-dataset-1.0.10/recordings",
    members=tuple(f"{d}_{s}_{i}.wav" for d in range(DIGITS) for s in SPEAKERS for i in range(REPETITIONS)),
)
SPLITS = {"test": range(5), "validation": range(5, 10), "train": range(10, REPETITIONS)}
"""Which repetitions of each digit by each speaker; the test split is the official one."""
FACTORS = {"digit": (DIGITS,), "speaker": (len(SPEAKERS),), "both": (DIGITS, len(SPEAKERS))}


class Fsdd(FileData):
    """Each of 6 speakers says each of 10 digits 50 times: 2,400 recordings for training, 300 for validation, 300 for test.

    Mu-law codes (:func:`genexp.probability.quantize.mu_law_codes`) of the first T samples of each recording; a shorter one
    is followed by silence, whose codes are part of the example.

    Args:
        labels: ``digit``, 0 to 9; ``speaker``, 0 to 5 in alphabetical order; or ``both``, digit * 6 + speaker.
        label_factors: what a label is made of, the last varying fastest: [10], [6] or [10, 6].
        sample_rate: samples per second, 8000.
        common: see :class:`genexp.data.in_memory.FileData`; ``shape`` is (T,).

    Raises:
        ValueError: ``num_classes`` or ``label_factors`` do not go with ``labels``, or ``shape`` or ``levels`` are not those of
            clips of codes. Once loaded: a file is not mono, 16 bit, of the sample rate, or not the one published.
    """

    def __init__(self, *, labels: str, label_factors: Sequence[int] | None, sample_rate: int, **common: Any) -> None:
        super().__init__(**common)
        self.factors = FACTORS[one_of("data.labels", labels, tuple(FACTORS))]
        for name, value, right in (
            ("num_classes", self.num_classes, prod(self.factors)),
            ("label_factors", label_factors and list(label_factors), list(self.factors)),
        ):
            if value != right:
                raise ValueError(f"data.{name}={value}: with data.labels={labels} it must be {right}")
        if len(self.shape) != 1 or self.shape[0] < 1:
            raise ValueError(f"data.shape={list(self.shape)}: must be [T], the samples of a clip, at least 1")
        if self.levels is None:
            raise ValueError("data.levels=null: the codes are integers, set 2 to 256")
        self.labels = labels
        digits = [str(digit) for digit in range(DIGITS)]
        both = [f"{digit} {speaker}" for digit in digits for speaker in SPEAKERS]
        self.class_names = {"digit": digits, "speaker": SPEAKERS, "both": both}[labels]
        self.sample_rate = sample_rate

    def files(self) -> Sequence[RemoteFolder]:
        return (RECORDINGS,)

    def path(self, file: RemoteFolder) -> Path:
        return locate_folder(file, self.root)

    @cached_property
    def _waveforms(self) -> dict[str, Tensor]:
        """Every recording by the name of its file: float32 ``(samples,)`` in [-1, 1)."""
        path = self.path(RECORDINGS)
        contents = read_folder(RECORDINGS, path)
        waveforms = {name: read_wav(content, path / name, self.sample_rate) for name, content in contents.items()}
        check(RECORDINGS, contents, path)
        return waveforms

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        steps = self.shape[0]
        x, y = [], []
        for digit in range(DIGITS):
            for number, speaker in enumerate(SPEAKERS):
                for repetition in SPLITS[split]:
                    waveform = self._waveforms[f"{digit}_{speaker}_{repetition}.wav"][:steps]
                    x.append(torch.nn.functional.pad(waveform, (0, steps - len(waveform))))
                    y.append({"digit": digit, "speaker": number, "both": digit * len(SPEAKERS) + number}[self.labels])
        return mu_law_codes(torch.stack(x), self.levels), torch.tensor(y)

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {
            "encoding": f"mu-law, {self.levels} codes",
            "sample_rate": self.sample_rate,
            "length": f"{self.shape[0]} samples, longer recordings cut, shorter ones followed by silence",
            "repetitions": f"{SPLITS[split].start} to {SPLITS[split].stop - 1}",
            "labels": self.labels,
        }


def read_wav(content: bytes, path: Path, sample_rate: int) -> Tensor:
    """The waveform in a mono WAV file of 16 bits: float32 ``(samples,)`` in [-1, 1).

    Args:
        content: bytes of the file.
        path: named in errors.
        sample_rate: in Hz; that of the file must be the same.

    Raises:
        ValueError: it is no such file.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that hold no sound
            rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # the reader raises whatever it stumbles over
        raise ValueError(f"{path} is no WAV file that can be read: {error}") from error
    if rate != sample_rate:
        raise ValueError(f"{path} has {rate} samples per second, but data.sample_rate={sample_rate}")
    if samples.ndim != 1 or samples.dtype.kind != "i" or samples.itemsize != 2:
        raise ValueError(
            f"{path} is {samples.dtype} of shape {samples.shape}: must be mono with 16 bits, int16 (samples,)"
        )
    return torch.from_numpy(samples.astype("float32")) / 2**15
