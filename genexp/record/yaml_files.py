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
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        nodes = _count(root, {}, set()) if root is not None else 0
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(_line(path, error)) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply") from error
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


def _count(node: yaml.Node, known: dict[int, int], open_nodes: set[int]) -> int:
    """Nodes at and below one, each alias counted as what it stands for."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if (number := known.get(id(node))) is not None:
        return number
    if id(node) in open_nodes:
        raise yaml.YAMLError("an alias stands for what it is itself a part of")
    open_nodes.add(id(node))
    children = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
    known[id(node)] = 1 + sum(_count(child, known, open_nodes) for child in children)
    open_nodes.remove(id(node))
    return known[id(node)]


def _line(path: Path, error: Exception) -> str:
    """``file:line:column: problem``."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{path}:{mark.line + 1}:{mark.column + 1}: {error.problem}"
    return f"{path}: {' '.join(str(error).split())}"
