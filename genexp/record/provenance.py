"""What a run must remember to be repeated: the command, the code, the packages, the machine."""

import os
import platform
import shlex
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from genexp import __version__

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
SOURCES = (".py", ".yaml", ".yml", ".toml", ".sh")
"""Files that a patch holds though they are new."""


def now() -> str:
    """The local time with its offset, as in ``2026-01-31T12:00:00+0100``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def environment(folder: Path) -> dict[str, Any]:
    """The entries of ``status.json`` that say where a run took place. Environment variables are not among them: they may
    hold secrets.

    Args:
        folder: gets ``packages.txt``; and ``genexp.diff`` and ``here.diff`` where the code of genexp, or of the
            repository in which the command was given, was changed since its commit.
    """
    write_atomically(folder / "packages.txt", "".join(f"{package}\n" for package in packages()))
    code, patch = git_state(Path(__file__).parent)
    here, patch_here = git_state(Path.cwd())
    if here == code:
        here, patch_here = {}, ""
    for name, text in (("genexp.diff", patch), ("here.diff", patch_here)):
        if text:
            write_atomically(folder / name, text)
    return {
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        "machine": machine(),
        "versions": {"genexp": __version__, **{package: version(package) for package in PACKAGES}},
        "git": code,
        "git_here": here,
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


def git_state(where: Path) -> tuple[dict[str, Any], str]:
    """Of the repository that ``where`` is in: its folder, commit and whether it was changed since, and the change as a
    patch, new text files included; empty outside a repository."""

    def git(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(["git", *arguments], cwd=where, capture_output=True, text=True, errors="replace")
        if done.returncode not in codes:
            raise OSError(done.stderr)
        return done.stdout

    try:
        root = git("rev-parse", "--show-toplevel").strip()
        if not git("ls-files", ".").strip():
            return {}, ""  # a folder that the repository knows nothing of, such as a virtual environment
        patch = git("diff", "HEAD")
        for name in git("ls-files", "--others", "--exclude-standard").splitlines():
            if name.endswith(SOURCES):
                patch += git("diff", "--no-index", "/dev/null", name, codes=(0, 1))
        return {"root": root, "commit": git("rev-parse", "HEAD").strip(), "dirty": bool(patch)}, patch
    except OSError:
        return {}, ""
