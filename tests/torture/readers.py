"""Fuzzing of the readers of files: valid small files are damaged at random and read.

Whatever a file holds, a reader either takes it or refuses it with one line that names it; it neither hangs nor makes room for
what a header only claims. Each function takes a ``random.Random`` and seconds, and returns counts, see :class:`Counts`.
"""

import hashlib
import io
import random
import signal
import tarfile
import tempfile
import time
import tracemalloc
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genexp.data.cifar10 import RECORD, parse_records
from genexp.data.files import read
from genexp.data.fsdd import read_wav
from genexp.data.image_folder import ImageFiles
from genexp.data.images import HEAD, TAIL, settled
from genexp.data.mnist import parse_idx
from genexp.data.mnist_binary import parse_bits
from genexp.data.npz import read_npz
from genexp.data.streamed import ImageBatches
from genexp.data.tar_index import scan
from genexp.record import checkpoint, checksum
from genexp.record.small_files import read_history

SECONDS, WAITING = 5.0, 60.0
"""After so many seconds of a processor, or so many that it waits, a reader hangs."""
MEMORY = 2**28
"""Bytes of room, beyond which a reader believes a header."""


@dataclass
class Counts:
    """What became of damaged files.

    Attributes:
        tried, refused, accepted: numbers of files.
        hung: number of those that took longer than :data:`SECONDS`.
        unnamed: errors that are not one line naming the file, each once, with its type.
        greedy: number of those for which Python made more room than :data:`MEMORY`.
    """

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    hung: int = 0
    greedy: int = 0
    unnamed: list[str] = field(default_factory=list)


def damaged(content: bytes, other: bytes, draws: random.Random) -> bytes:
    """A file with one to three of these: bits flipped, bytes set to what headers mean much by, cut, grown, spliced with another,
    a part repeated or left out."""
    data = bytearray(content)
    for _ in range(draws.randint(1, 3)):
        n = max(len(data), 1)
        i, j = sorted((draws.randrange(n), draws.randrange(n)))
        k = min(draws.choice((i, i % 64, i % 600)), n - 1)  # headers lie in front
        match draws.randrange(8):
            case 0 | 1:
                for _ in range(draws.choice((1, 1, 4, 32))):
                    if data:
                        at = draws.choice((draws.randrange(len(data)), draws.randrange(min(len(data), 64))))
                        data[at] ^= 1 << draws.randrange(8)
            case 2:
                width = draws.choice((1, 2, 4, 8))
                data[k : k + width] = draws.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"9", b"-")) * width
            case 3:
                del data[draws.choice((i, k)) :]
            case 4:
                data += draws.randbytes(draws.choice((1, 64, 512, 4000))) if draws.random() < 0.7 else bytes(512 * 20)
            case 5:
                data = data[:i] + other[min(j, len(other)) :]
            case 6:
                data[i:i] = data[i:j][:4096]
            case 7:
                del data[i : min(j, i + 600)]
    return bytes(data)


def fuzz(
    examples: list[bytes], reader: Callable[[Path], object], name: str, draws: random.Random, seconds: float
) -> Counts:
    """Damage files and read them.

    Args:
        examples: valid files, which the reader must take.
        reader: reads the file at a path.
        name: of the file.
        draws: of the damage.
        seconds: how long.
    """
    counts = Counts()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        for content in examples:
            path.write_bytes(content)
            reader(path)
        end = time.monotonic() + seconds
        while time.monotonic() < end or counts.tried < 5:
            path.write_bytes(damaged(draws.choice(examples), draws.choice(examples), draws))
            _try(reader, path, counts)
    return counts


def _try(reader: Callable[[Path], object], path: Path, counts: Counts) -> None:
    counts.tried += 1
    if traced := counts.tried % 10 == 0:  # it makes everything slow
        tracemalloc.start()
    try:
        with _limited():
            reader(path)
        counts.accepted += 1
    except _Hung:
        counts.hung += 1
        counts.unnamed.append(f"hung: {path.read_bytes()[:2000]!r}")
    except (ValueError, FileNotFoundError) as error:
        counts.refused += 1
        if "\n" in str(error) or str(path) not in str(error):
            _unnamed(error, counts)
    except Exception as error:
        _unnamed(error, counts)
    finally:
        if traced:
            counts.greedy += tracemalloc.get_traced_memory()[1] > MEMORY
            tracemalloc.stop()


def _unnamed(error: Exception, counts: Counts) -> None:
    text = f"{type(error).__name__}: {error}"
    if text not in counts.unnamed:
        counts.unnamed.append(text)


class _Hung(BaseException):
    """Nobody catches it by the way."""


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _Hung

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, WAITING))
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


# --- the readers -------------------------------------------------------------------------------------------


def images(draws: random.Random, seconds: float, format: str = "PNG") -> Counts:
    """Images of a folder: what is looked at before training, and decoding. What the ends of a file settle must not be refused
    for being cut off."""

    def look(path: Path) -> None:
        size = path.stat().st_size
        files = ImageFiles(path.parent, np.array([path.name.encode()]), np.array([size]), None)
        batches = ImageBatches(files, (3, 4, 4), 256)
        head, tail, size = files.head_and_tail(0)
        assert len(head) == min(size, HEAD) and len(tail) == min(size, TAIL)
        settled(head, tail, size)
        batches.inspect()

    return fuzz(_images(format), look, f"a.{format.lower()}", draws, seconds)


def npz(draws: random.Random, seconds: float) -> Counts:
    """NumPy archives."""
    contents = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, train_data=np.arange(60, dtype=np.float32).reshape(20, 3), other=np.ones(3, bool))
        contents.append(file.getvalue())
    return fuzz(contents, lambda path: read_npz(path, "train_data"), "a.npz", draws, seconds)


def wav(draws: random.Random, seconds: float) -> Counts:
    """Sound."""
    contents = []
    for channels, width in ((1, 2), (1, 1), (2, 2)):
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(width)
            out.setframerate(8000)
            out.writeframes(random.Random(0).randbytes(400))
        contents.append(file.getvalue())

    def take(path: Path) -> None:
        try:
            read_wav(path.read_bytes(), path, 8000)
        except ValueError as error:
            if "mono" not in str(error) or path.read_bytes() not in contents:
                raise

    return fuzz(contents, take, "a.wav", draws, seconds)


def idx(draws: random.Random, seconds: float) -> Counts:
    """MNIST's format."""
    images = b"\0\0\x08\x03" + np.array([5, 4, 4], ">u4").tobytes() + bytes(range(80))
    labels = b"\0\0\x08\x01" + np.array([5], ">u4").tobytes() + bytes(range(5))
    return fuzz([images, labels], lambda path: parse_idx(read(path), path), "a-ubyte", draws, seconds)


def gz(draws: random.Random, seconds: float) -> Counts:
    """Zipped files."""
    import gzip

    contents = [gzip.compress(bytes(1000)), gzip.compress(random.Random(0).randbytes(300))]
    return fuzz(contents, read, "a.gz", draws, seconds)


def cifar(draws: random.Random, seconds: float) -> Counts:
    """CIFAR-10's records, and MNIST's lines of bits."""

    def take(path: Path) -> None:
        content = path.read_bytes()
        (parse_bits if content[:1] in (b"0", b"1") else parse_records)(content, path)

    bits = b"".join(b"%d " % (i % 2) for i in range(784)) * 2
    return fuzz([b"\x05" * RECORD * 2, bits], take, "a.bin", draws, seconds)


def tar(draws: random.Random, seconds: float) -> Counts:
    """The index of a shard, and the images that it finds."""
    contents = []
    png = _images("PNG")[0]
    for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=format) as archive:
            long = "n" * 90 if format == tarfile.USTAR_FORMAT else "ü" * 150
            members = [("0.png", png), ("0.cls", b"1"), ("1.png", png), ("1.json", b'{"label": 2}'), ("1.txt", b"hi")]
            for name, content in [*members, (f"{long}.png", png)]:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        contents.append(file.getvalue())

    def take(path: Path) -> None:
        index = scan(path, "label")
        assert index.fits(path.stat().st_size)

    return fuzz(contents, take, "a.tar", draws, seconds)


def history(draws: random.Random, seconds: float) -> Counts:
    """The history of a run, CSV."""
    rows = "".join(f"{i},{i},0,0.{i},val/loss,{1.5 - i / 10}\n" for i in range(9))
    quoted = '10,10,0,1.0,"val/a,""b""\n",2\n'
    contents = [f"images,step,epoch,seconds,metric,value\n{rows}{more}".encode() for more in ("", quoted)]
    return fuzz(contents, read_history, "metrics.csv", draws, seconds)


def checkpoints(draws: random.Random, seconds: float) -> Counts:
    """Checkpoints; half of the damaged ones are given a checksum that is right again, as somebody who means harm would."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "a.ckpt"
        state = {"state_dict": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.int64)}, "steps": 3}
        checkpoint.save(state, whole)
        content = whole.read_bytes()

    def take(path: Path) -> None:
        damaged = path.read_bytes()
        if damaged != content and draws.random() < 0.5:
            body = damaged[: -checksum.COMMENT - 2]
            digest = hashlib.sha256(body + b"\0\0").hexdigest().encode()
            path.write_bytes(body + checksum.LENGTH + checksum.PREFIX + digest)
        checkpoint.load(path)

    return fuzz([content], take, "a.ckpt", draws, seconds)


READERS: dict[str, Callable[[random.Random, float], Counts]] = {
    "png": images,
    "jpg": lambda draws, seconds: images(draws, seconds, "JPEG"),
    "webp": lambda draws, seconds: images(draws, seconds, "WEBP"),
    "bmp": lambda draws, seconds: images(draws, seconds, "BMP"),
    "npz": npz,
    "wav": wav,
    "idx": idx,
    "gz": gz,
    "bin": cifar,
    "tar": tar,
    "csv": history,
    "ckpt": checkpoints,
}
"""What a torture command runs, by name."""


def fuzzed(name: str, seconds: float) -> Counts:
    """One of them, always with the same draws; for a process of its own."""
    return READERS[name](random.Random(f"fuzz {name}"), seconds)


def _images(format: str) -> list[bytes]:
    """Small valid files: colour and grey, with a palette and EXIF data where the format has them."""
    pixels = torch.randint(256, (6, 9, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8).numpy()
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = []
    for image in (Image.fromarray(pixels), Image.fromarray(pixels[..., 0])):
        file = io.BytesIO()
        image.save(file, format, **({} if format == "BMP" else {"exif": exif}))
        contents.append(file.getvalue())
    if format in ("PNG", "BMP"):
        file = io.BytesIO()
        Image.fromarray(pixels).quantize(16).save(file, format)
        contents.append(file.getvalue())
    return contents
