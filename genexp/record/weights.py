"""Which of a run's final values are of the weights that it has now.

A record says how many images its weights had seen (``images_seen``), and of which checkpoint they were. A run is determined
by its config and seed, so within it that number is the identity of weights. What it is of the file that a checkpoint is now,
``.hydra/measured.json`` tells: for each checkpoint the SHA-256 of the file that was last measured, and the images its weights
had seen. A file with another SHA-256 holds other weights, of which no value is known yet. Where there is no such entry (an
earlier version), or no file (a folder copied without checkpoints), the values that were added last are current.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genexp.record.checksum import recorded_digest
from genexp.record.provenance import write_atomically

Record = Mapping[str, Any]


class Measured:
    """What was last measured of a run's checkpoints.

    Args:
        checkpoints: their folder.
        path: the file that keeps it; a damaged one is as good as none.
    """

    def __init__(self, checkpoints: Path, path: Path) -> None:
        self.checkpoints, self.path = checkpoints, path
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            content = {}
        entries = content.items() if isinstance(content, dict) else ()
        self.entries = {name: e for name, e in entries if isinstance(e, dict) and {"sha256", "images_seen"} <= e.keys()}

    def note(self, records: Sequence[Record]) -> None:
        """Remember that these values are of the checkpoints as they are now."""
        for record in records:
            if (digest := self._digest(record["checkpoint"])) is not None:
                self.entries[record["checkpoint"]] = {"sha256": digest, "images_seen": record.get("images_seen")}
        write_atomically(self.path, json.dumps(self.entries, indent=2) + "\n")

    def current(self, records: Sequence[Record]) -> list[Any]:
        """Those of the weights that are in the checkpoints now, in their order."""
        present = {name: self._present(name, records) for name in {r["checkpoint"] for r in records}}
        return [r for r in records if present[r["checkpoint"]] == (r.get("images_seen"),)]

    def stale(self, records: Sequence[Record]) -> list[Any]:
        """The others, in their order."""
        current = [id(record) for record in self.current(records)]
        return [record for record in records if id(record) not in current]

    def _present(self, checkpoint: str, records: Sequence[Record]) -> tuple[Any] | None:
        """The images that the weights of a checkpoint have seen; None if nothing was measured of them."""
        entry, digest = self.entries.get(checkpoint), self._digest(checkpoint)
        if entry is not None and digest is not None:
            return (entry["images_seen"],) if entry["sha256"] == digest else None
        seen = [r.get("images_seen") for r in records if r["checkpoint"] == checkpoint and not r.get("stale")]
        return (seen[-1],) if seen else None

    def _digest(self, checkpoint: str) -> str | None:
        path = self.checkpoints / f"{checkpoint}.ckpt"
        try:
            return recorded_digest(path) if path.is_file() else None
        except (OSError, UnicodeDecodeError):
            return None
