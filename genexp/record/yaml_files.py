"""YAML files that somebody else may have written: refused in one line if they are broken, or would grow out of all proportion."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genexp.record.errors import ConfigError

LARGEST = 4 << 20
"""Bytes of a file."""
MOST_NODES = 200_000
"""Nodes of a file with its aliases written out."""
DEEPEST = 100
"""Nodes within nodes."""
READER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where PyYAML has it."""


def check_yaml(path: str | Path) -> None:
    """Refuse a file that is not YAML, or whose aliases stand for more than it could be meant to.

    Raises:
        ConfigError: naming the file, and the line where there is one.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file")
        if (size := path.stat().st_size) > LARGEST:
            raise ConfigError(f"{path}: {size:,} bytes are too many for a config")
        nodes = _count(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(_line(path, error)) from error
    if nodes > MOST_NODES:
        raise ConfigError(f"{path}: its aliases stand for {nodes:,} nodes, more than the {MOST_NODES:,} allowed")


def load_yaml(path: str | Path) -> Any:
    """The config in a file, interpolations as they are.

    Raises:
        ConfigError: see :func:`check_yaml`.
    """
    check_yaml(path)
    try:
        return OmegaConf.load(path)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(_line(Path(path), error)) from error


def _count(text: str) -> int:
    """Nodes of a text, each alias counted as what it stands for."""
    named: dict[str, int] = {}
    around: list[tuple[str | None, int]] = []  # of what is open: its name, and the nodes before it
    nodes = 0
    for event in yaml.parse(text, Loader=READER):
        if isinstance(event, yaml.AliasEvent):
            if any(event.anchor == name for name, _ in around):
                raise yaml.YAMLError("an alias stands for what it is itself a part of")
            nodes += named.get(event.anchor, 0)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            named[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, nodes))
            nodes += 1
            if len(around) > DEEPEST:
                raise yaml.YAMLError("is nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            name, before = around.pop()
            named[name] = nodes - before
    return nodes


def _line(path: Path, error: Exception) -> str:
    """``file:line:column: problem``."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = error.problem.replace(
            "exceeded maximum nesting depth", "is nested too deeply"
        )  # the fast reader's own limit
        return f"{path}:{mark.line + 1}:{mark.column + 1}: {problem}"
    return f"{path}: {' '.join(str(error).split())}"
