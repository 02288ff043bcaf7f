"""What a run must remember to be repeated: the command, the code, the packages, the machine; and how small files are written."""

import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from genexp import __version__
from genexp.record.git_state import GitState, git_state

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "torch-fidelity",
    "numpy",
)
"""Whose versions ``status.json`` names beside that of genexp; ``packages.txt`` has them all."""


def now() -> str:
    """The local time with its offset, as in ``2026-01-31T12:00:00+0100``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Say of an error of writing, such as that of a full disk, which file it was: the system tells that of opening only.

    Raises:
        OSError: with the path as its ``filename``.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new one, never a part.

    Raises:
        OSError: it cannot be written; the old one is still there, and nothing else.
    """
    temporary = path.with_name(path.name + ".tmp")
    with naming(path):
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def environment(folder: Path, modules: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of ``status.json`` that say where a run took place. Environment variables are not among them: they may
    hold secrets.

    Args:
        folder: gets ``packages.txt``; and ``genexp.diff`` and ``here.diff`` where tracked files of genexp, or of the
            repository in which the command was given, were changed since its commit; and ``genexp_untracked.txt`` and
            ``untracked.txt``, names and SHA-256 of the files that the repository does not know.
        modules: further ones that the run may name; their new sources are in the patch too.
    """
    write_atomically(folder / "packages.txt", "".join(f"{package}\n" for package in packages()))
    code = git_state(Path(__file__).parent, ["genexp"])
    here = git_state(Path.cwd(), ["genexp", *modules])
    if here == code:
        here = GitState({})
    for name, text in (
        ("genexp.diff", code.patch),
        ("genexp_untracked.txt", code.untracked),
        ("here.diff", here.patch),
        ("untracked.txt", here.untracked),
    ):
        if text:
            write_atomically(folder / name, text)
        else:
            (folder / name).unlink(missing_ok=True)  # of an earlier start
    return {
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "machine": machine(),
        "versions": {"genexp": __version__, **{package: version(package) for package in PACKAGES}},
        "git": code.about,
        "git_here": here.about,
    }


@cache
def packages() -> list[str]:
    """``name==version`` of all installed packages; read once a process, of which a sweep's jobs may be many."""
    return sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}, key=str.lower)


def machine() -> dict[str, Any]:
    """Name, processor, cores, memory and GPUs of this machine."""
    import torch

    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    gigabytes = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return {
        "node": platform.node(),
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": gigabytes,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }
