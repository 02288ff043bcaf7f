"""Where a draw goes: never onto another one. Beside its files ``<output>.json`` says what they were drawn with."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from genexp import __version__
from genexp.record.errors import ConfigError, shown
from genexp.record.provenance import write_atomically

ENDINGS = ("", ".json", ".npy", ".npz", ".png", "-labels.npy", "-examples.npy", "-latents.npy", "-neighbours.npy")
"""Of the files that a draw may write, and of its folder of single ones."""
LARGEST = 1 << 24
"""Bytes of a record that is read."""


class Output:
    """A name for the files of a draw, which is free, or holds the same draw already.

    Args:
        path: asked for, without suffix; a name that another draw has is refused.
        default: where ``path`` is None; where another draw has the name, it gets ``-2``, ``-3`` ...
        weights: which they are: run, checkpoint, its SHA-256.
        settings: all that decides what is drawn with them.

    Raises:
        ConfigError: another draw has the name; says what differs.
    """

    def __init__(
        self, path: str | None, default: Path, weights: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        self.about = {"genexp": __version__, **weights, "settings": dict(settings)}
        if path is not None:
            self.path = Path(path)
            if difference := self._other(self.path):
                raise ConfigError(f"output={path}: {difference}; choose another name")
        else:
            names = (default.with_name(f"{default.name}{f'-{i}' if i > 1 else ''}") for i in count(1))
            self.path = next(name for name in names if self._other(name) is None)
        self.is_new = not self.record.exists()

    @property
    def record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def _other(self, path: Path) -> str | None:
        """What another draw has written under a name, in words; None where there is nothing, or the same draw."""
        if not (there := _files(path)):
            return None
        known = _read(path.with_name(f"{path.name}.json"))
        if known is None:
            return f"{there[0]} is there, and nothing says what it was drawn with"
        old, new = ({**about.get("settings", {}), "weights": about.get("sha256")} for about in (known, self.about))
        different = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if not different:
            return None
        name = different[0]
        if name == "weights":
            seen = known.get("images_seen")
            of = f", which had seen {seen:,} images" if isinstance(seen, int) else ""
            return f"holds a draw of other weights{of}"
        return f"holds a draw of other settings ({name}={shown(old.get(name))}, here {shown(new.get(name))})"

    def begin(self) -> None:
        """Take the name, before anything is drawn."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.is_new:
            self._write()

    def end(self, files: Iterable[Path], images_seen: int) -> Path:
        """Say what was written; the record."""
        self.about |= {"images_seen": images_seen, "files": [str(path.relative_to(self.path.parent)) for path in files]}
        self._write()
        return self.record

    def give_up(self) -> None:
        """Leave the name to others, where nothing was written."""
        if self.is_new and _files(self.path) == [self.record]:
            with suppress(OSError):
                self.record.unlink()

    def _write(self) -> None:
        write_atomically(self.record, json.dumps(self.about, indent=2) + "\n")


def _files(path: Path) -> list[Path]:
    """What there is under a name; an empty folder is nothing."""
    there = [p for ending in ENDINGS if (p := path.with_name(f"{path.name}{ending}")).exists() or p.is_symlink()]
    return [p for p in there if p != path or not p.is_dir() or any(p.iterdir())]


def _read(path: Path) -> dict[str, Any] | None:
    """A record; None if there is none, or it is none."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_record = isinstance(found, dict) and isinstance(found.get("settings"), dict)
    return found if is_record else None
