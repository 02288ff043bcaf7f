"""What makes a run the run it is: its resolved config without what only keeps the books."""

import json
from typing import Any

BOOKKEEPING = (
    "name",
    "group",
    "sweep",
    "tags",
    "job_type",
    "trial",
    "logger",
    "resume",
    "dry_run",
    "samples",
    "curves",
    "progress",
    "allow_targets",
    "published",
    "reproduced",
    "data.root",
)
"""Keys of the config that change nothing about what is learnt and measured."""


ADDED = {"training.initial_weights": "null"}
"""Keys that configs of earlier versions have not, and what their runs had all the same."""


def flatten(config: Any, path: str = "") -> dict[str, str]:
    """Leaves of a config by dotted key, as text."""
    if isinstance(config, dict):
        return {
            k: v for key, node in config.items() for k, v in flatten(node, f"{path}.{key}" if path else key).items()
        }
    return {path: json.dumps(config) if not isinstance(config, str) else config}


def without(leaves: dict[str, str], keys: tuple[str, ...]) -> dict[str, str]:
    """The leaves of a run that are not at or below any of ``keys``; those of a run of an earlier version, with :data:`ADDED`."""
    below = tuple(f"{key}." for key in keys)
    return {key: value for key, value in (ADDED | leaves).items() if not f"{key}.".startswith(below)}


def identity(resolved: dict[str, Any]) -> dict[str, str]:
    """Two runs with equal results of this are the same run, whatever their folders are called.

    Args:
        resolved: a run's resolved config.
    """
    return without(flatten(resolved), BOOKKEEPING)


def differing(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Keys in which two identities differ."""
    return [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
