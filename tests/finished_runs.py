"""Tiny runs that are trained once a session, by the test that needs them first, and copied by all others."""

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path


class FinishedRuns:
    """A store of run folders that all workers of a session share. They have no ``curves.png``.

    Args:
        folder: where they lie; a new one for every session.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, genexp, *arguments: str, ready=lambda folder: None) -> str:
        """See to it that ``outputs/<name>`` is what ``genexp <arguments>`` leaves there, as the test's own copy.

        Args:
            genexp: the fixture of that name.
            arguments: of a training that ends well, ``name=...`` among them. Classes that they name in files of the test's
                folder belong to what tells two runs apart.
            ready: called with the folder of a new run; returns once nothing writes there any more.

        Returns:
            What the command printed.
        """
        (name,) = (a.removeprefix("name=") for a in arguments if a.startswith("name="))
        code = [path.read_text() for path in sorted(genexp.folder.glob("*.py"))]
        stored = self.folder / hashlib.sha256(repr((arguments, code)).encode()).hexdigest()[:16]
        run = genexp.folder / "outputs" / name
        with self._alone(stored):
            if not stored.exists():
                exit_code, out, err = genexp(*arguments)
                assert exit_code == 0, err
                ready(run)
                shutil.copytree(run, stored / "run")
                (stored / "out").write_text(out)
                return out
        shutil.copytree(stored / "run", run)
        return (stored / "out").read_text()

    @contextmanager
    def _alone(self, stored: Path):
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(f"{stored}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def folder_of_session(tmp_path_factory) -> Path:
    """A folder that the workers of a session share, and no two sessions."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished_runs"
