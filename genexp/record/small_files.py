"""The small files of a run folder, read with suspicion: whatever was damaged is named in one line, with what to do."""

import csv
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from genexp.record.errors import ConfigError
from genexp.record.schema import COLUMNS, CONFIG, OPTIONAL, RECORD, STATUS, Rule
from genexp.record.yaml_files import load_yaml

LARGEST = 1 << 30
"""Bytes of a history, or a file of values, that are read."""


class DamagedFile(ConfigError):
    """A file of a run folder does not hold what genexp wrote there."""


def read_status(path: Path) -> dict[str, Any]:
    """``status.json``; empty if there is none.

    Raises:
        DamagedFile: naming the file and the entry.
    """
    what_to_do = "delete it, and `genexp train run=...` continues from the last checkpoint"
    if not _is_there(path, what_to_do):
        return {}
    status = _json(path, what_to_do)
    if not isinstance(status, dict):
        raise _damaged(path, f"holds {_kind(status)} instead of entries by name", what_to_do)
    for name in ("state", "updated"):
        if status.get(name) is None:
            raise _damaged(path, f"lacks {name}", what_to_do)
    _check(path, status, {name: rule for name, rule in STATUS.items() if status.get(name) is not None}, "", what_to_do)
    return status


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.json``; none if there is no such file.

    Raises:
        DamagedFile: naming the file, the record and its entry.
    """
    what_to_do = "delete it, and `genexp evaluate run=...` computes the values anew"
    if not _is_there(path, what_to_do):
        return []
    records = _json(path, what_to_do)
    if not isinstance(records, list):
        raise _damaged(path, f"holds {_kind(records)} instead of a list of values", what_to_do)
    for i, record in enumerate(records):
        if not isinstance(record, dict):
            raise _damaged(path, f"says value {i + 1} is {_kind(record)}, must be entries by name", what_to_do)
        optional = {name: rule for name, rule in OPTIONAL.items() if record.get(name) is not None}
        _check(path, record, RECORD | optional, f"value {i + 1}: ", what_to_do)
        for name in ("stderr", "ema"):
            if name not in record:
                raise _damaged(path, f"lacks {name} of value {i + 1}", what_to_do)
    return records


def read_history(path: Path) -> list[dict[str, str]]:
    """The rows of ``metrics.csv``; none if there is no such file. A last line that was cut off is left out: the process ended
    while it was written.

    Raises:
        DamagedFile: naming the file and the line.
    """
    what_to_do = "move it away: training can go on without, and its earlier rows are then missing"
    if not _is_there(path, what_to_do):
        return []
    lines = _text(path, what_to_do).split("\n")
    try:
        names = list(csv.reader(lines[:1]))
    except csv.Error as error:
        raise _damaged(path, f"has no names of columns in line 1 ({error})", what_to_do) from error
    if not names or not set(COLUMNS) <= set(names[0]):
        raise _damaged(path, f"does not begin with {','.join(COLUMNS)}", what_to_do)
    rows: list[dict[str, str]] = []
    reader = csv.reader(lines[1:-1])  # what follows the last line break was cut off
    begun = 1  # line that the row before ended with
    try:
        for fields in reader:
            row = dict(zip(names[0], fields, strict=False))
            if len(fields) != len(names[0]) or not all(_reads_as(kind, row[name]) for name, kind in COLUMNS.items()):
                if begun + 1 == len(lines) - 1:
                    break
                raise _damaged(path, f"has no row of values in line {begun + 1}", what_to_do)
            rows.append(row)
            begun = reader.line_num + 1
    except csv.Error as error:
        raise _damaged(path, f"has no row of values in line {begun + 1} ({error})", what_to_do) from error
    return rows


def read_config(path: Path) -> DictConfig:
    """The composed config of a run, interpolations as they are.

    Raises:
        DamagedFile: naming the file, and the key that it lacks though ``resolved.yaml`` beside it has it.
    """
    what_to_do = "resolved.yaml beside it may still have it"
    config = _yaml(path, DictConfig, what_to_do)
    plain = OmegaConf.to_container(config)
    for key, (kind, holds) in CONFIG.items():
        node: Any = plain
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if not holds(node):
            raise _damaged(path, f"says {key} is {_kind(node)}, must be {kind}", what_to_do)
    resolved = path.with_name("resolved.yaml")
    if resolved.is_file():
        if (key := _lacking(plain, read_mapping(resolved))) is not None:
            raise _damaged(path, f"lacks {key}", what_to_do)
    return config


def read_mapping(path: Path) -> dict[str, Any]:
    """``resolved.yaml`` or ``choices.yaml``.

    Raises:
        DamagedFile: naming the file.
    """
    try:
        return OmegaConf.to_container(_yaml(path, DictConfig, "copy it from another run, or train anew"))
    except RecursionError as error:
        raise _damaged(path, "is nested too deeply", "train anew") from error


def read_overrides(path: Path) -> list[str]:
    """``overrides.yaml``.

    Raises:
        DamagedFile: naming the file.
    """
    what_to_do = "write [] into it: it only tells what the command changed"
    overrides = OmegaConf.to_container(_yaml(path, ListConfig, what_to_do))
    if not all(isinstance(item, str) for item in overrides):
        raise _damaged(path, "must be a list of texts key=value", what_to_do)
    return overrides


def _damaged(path: Path, problem: str, what_to_do: str) -> DamagedFile:
    return DamagedFile(f"{path} is damaged: it {problem}; {what_to_do}")


def _kind(x: Any) -> str:
    """What a value is, for a message."""
    if x is None or isinstance(x, bool):
        return {None: "null", True: "true", False: "false"}[x]
    if isinstance(x, dict | list):
        return "a list" if isinstance(x, list) else "entries by name"
    return "text" if isinstance(x, str) and len(x) > 40 else repr(x)[:40]


def _check(path: Path, node: Mapping[str, Any], rules: Mapping[str, Rule], where: str, what_to_do: str) -> None:
    for name, (kind, holds) in rules.items():
        if name not in node:
            raise _damaged(path, f"lacks {name}{where and f' of {where[:-2]}'}", what_to_do)
        if not holds(node[name]):
            raise _damaged(path, f"says {where}{name} is {_kind(node[name])}, must be {kind}", what_to_do)


def _is_there(path: Path, what_to_do: str) -> bool:
    """Whether there is a file; refuses what is none, before anything is read."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise DamagedFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise _damaged(path, "is no file", what_to_do)
    if found.st_size > LARGEST:
        raise _damaged(path, f"has {found.st_size:,} bytes", what_to_do)
    return True


def _text(path: Path, what_to_do: str) -> str:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise _damaged(path, "is no text", what_to_do) from error
    except OSError as error:
        raise DamagedFile(f"{path} cannot be read: {error.strerror}") from error


def _json(path: Path, what_to_do: str) -> Any:
    text = _text(path, what_to_do)
    if not text.strip():
        raise _damaged(path, "is empty", what_to_do)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _damaged(path, f"is no JSON{line}", what_to_do) from error


def _yaml(path: Path, kind: type, what_to_do: str) -> Any:
    if not _is_there(path, what_to_do):
        raise DamagedFile(f"{path} is missing; {what_to_do}")
    _text(path, what_to_do)
    try:
        node = load_yaml(path)
    except DamagedFile:
        raise
    except ConfigError as error:
        raise DamagedFile(f"{error}; {what_to_do}") from error
    if not isinstance(node, kind):
        wanted = "entries by name" if kind is DictConfig else "a list"
        found = _kind(OmegaConf.to_container(node)) if isinstance(node, DictConfig | ListConfig) else _kind(node)
        raise _damaged(path, f"holds {found} instead of {wanted}", what_to_do)
    if kind is DictConfig and not (node and all(isinstance(key, str) for key in node)):
        raise _damaged(path, "is empty" if not node else "has a key that is no text", what_to_do)
    return node


def _reads_as(kind: type, text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def _lacking(config: Any, resolved: Any, path: str = "") -> str | None:
    """The first key that a config lacks of its resolved form; None if it has them all."""
    if isinstance(config, dict) and isinstance(resolved, dict):
        for key, value in resolved.items():
            here = f"{path}.{key}" if path else str(key)
            if key not in config:
                return here
            if (found := _lacking(config[key], value, here)) is not None:
                return found
    elif isinstance(config, list) and isinstance(resolved, list) and len(config) < len(resolved):
        return f"{path}[{len(config)}]"
    return None
