"""Whose a run folder is while the run goes on, and whether that process is still there."""

import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

BEAT_S = 30.0
"""Time between two signs of life."""
SILENT_S = 300.0
"""After so long without one, the owner on another machine is taken to be gone."""


def this_process() -> dict[str, Any]:
    """What tells this process from any other, also one that gets its number later: machine, boot, and start."""
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "boot": _boot(),
        "pids": _namespace(),
        "started_ticks": _start(os.getpid()),
    }


def fate(owner: Mapping[str, Any] | None, beat: float) -> Literal["running", "killed", "lost"]:
    """What became of the process that a running run belongs to.

    Args:
        owner: as from :func:`this_process`; None where an earlier version kept none.
        beat: when it last gave a sign of life, in seconds since 1970.

    Returns:
        ``killed`` if it is gone for certain: looked for on its own machine, or that machine has started anew since. Of
        another machine's, ``lost`` after a silence of :data:`SILENT_S`.
    """
    if owner is not None and owner.get("host") == platform.node() and _boot():
        if owner.get("boot") != _boot():
            return "killed"
        if owner.get("pids") == _namespace():
            start = _start(owner.get("pid"))
            return "running" if start is not None and start == owner.get("started_ticks") else "killed"
    return "lost" if time.time() - beat > SILENT_S else "running"


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """While the block runs, touch a file now and then, from a thread that costs the training nothing."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):  # not there yet, or a full or vanished disk, of which the training will tell
                os.utime(path)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _start(pid: Any) -> int | None:
    """When a process started, in clock ticks since the boot; None if there is none, or it has ended and only waits to be
    asked how."""
    try:
        fields = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()
    except (OSError, TypeError, ValueError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _boot() -> str:
    """The id of this boot of the machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    """In which set process numbers count: containers of a machine have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
