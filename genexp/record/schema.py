"""What the small files of a run folder must hold."""

import math
import re
from collections.abc import Callable
from typing import Any

from genexp.record.errors import SPLITS
from genexp.record.values import UNITS

Rule = tuple[str, Callable[[Any], bool]]


def _is_count(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x >= 0


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


TEXT: Rule = ("text", lambda x: isinstance(x, str))
COUNT: Rule = ("a whole number of at least 0", _is_count)
NUMBER: Rule = ("a number", _is_number)
FINITE: Rule = ("a finite number", lambda x: _is_number(x) and math.isfinite(x))
ENTRIES: Rule = ("entries by name", lambda x: isinstance(x, dict))
LIST: Rule = ("a list", lambda x: isinstance(x, list))
TEXTS: Rule = ("texts by name", lambda x: isinstance(x, dict) and all(isinstance(v, str) for v in x.values()))
VERSIONS: Rule = (
    "versions by package",
    lambda x: TEXTS[1](x) and bool(re.match(r"\d{1,9}\.\d{1,9}", x.get("genexp", "0.0"))),
)
SETTINGS: Rule = (
    "settings by name, k and n whole numbers",
    lambda x: isinstance(x, dict) and all(_is_count(x.get(name, 0)) for name in ("k", "n")),
)
NUMBERED: Rule = (
    "values by name",
    lambda x: isinstance(x, dict) and all(isinstance(v, dict) and _is_number(v.get("value")) for v in x.values()),
)


def one_of(*valid: Any) -> Rule:
    return "one of " + ", ".join("null" if v is None else str(v) for v in valid), lambda x: x in valid


STATUS = {
    "state": TEXT,
    "updated": TEXT,
    "started": TEXT,
    "command": TEXT,
    "python": TEXT,
    "cwd": TEXT,
    "selection": TEXT,
    "debug": TEXT,
    "error": TEXT,
    "trace": TEXT,
    "versions": VERSIONS,
    "machine": ENTRIES,
    "owner": ENTRIES,
    "git": ENTRIES,
    "git_here": ENTRIES,
    "wandb": ENTRIES,
    "loggers": ENTRIES,
    "data_checksums": ENTRIES,
    "initial_weights": ENTRIES,
    "resumed": LIST,
    "parameters": COUNT,
    "minutes": FINITE,
    "job_seconds": FINITE,
}
"""What entries of ``status.json`` must be where they are there and not null; ``state`` and ``updated`` always are."""
RECORD = {
    "key": TEXT,
    "quantity": TEXT,
    "split": one_of(*SPLITS),
    "unit": one_of(*UNITS),
    "kind": one_of("exact", "bound", "estimate"),
    "value": NUMBER,
    "direction": one_of("min", "max", None),
    "n": COUNT,
    "protocol": ENTRIES,
    "settings": SETTINGS,
    "checkpoint": TEXT,
}
"""What a record of ``metrics.json`` must have."""
OPTIONAL = {"stderr": NUMBER, "images_seen": COUNT, "by_class": NUMBERED, "parts": NUMBERED}
"""What it may have, or have as null."""
CONFIG = {
    "name": TEXT,
    "model": ENTRIES,
    "model._target_": TEXT,
    "data": ENTRIES,
    "data._target_": TEXT,
    "training": ENTRIES,
}
"""What a config must have; whatever else its resolved form beside it has must be there too."""
COLUMNS = {"images": int, "step": int, "epoch": int, "seconds": float, "metric": str, "value": float}
"""Of ``metrics.csv``."""
