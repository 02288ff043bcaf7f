"""A config file as a person wrote it: its values as text, each with the comment beside it."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from genexp.record.errors import ConfigError

READER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where PyYAML has it."""
PAPER = re.compile(r"Papers?: *")
"""Begins a line of a header that names publications."""
SENTENCE = re.compile(r"(?<! al)(?<!e\.g)(?<!i\.e)\.\s+")
"""Between two sentences."""


@dataclass
class Node:
    """A value in a config file.

    Args:
        text: as it is written; of a block, nothing.
        comment: behind it, or in the lines above it.
        children: the entries of a mapping; None for anything else.
    """

    text: str
    comment: str = ""
    children: "dict[str, Node] | None" = None

    @property
    def word(self) -> str:
        """The text as a command takes it, lists without spaces."""
        return self.text.replace(", ", ",") if self.text.startswith("[") else self.text


@dataclass(frozen=True)
class File:
    """What a config file says.

    Args:
        header: its first comment, lines joined, without the package and the papers.
        papers: that the header names, one an entry.
        is_global: whether its keys count from the top (``@package _global_``).
        defaults: its defaults list.
        choices: the comments beside the groups in it.
        root: all else.
    """

    header: str
    papers: tuple[str, ...]
    is_global: bool
    defaults: tuple[object, ...]
    choices: dict[str, str] = field(compare=False)
    root: Node = field(compare=False)

    @property
    def summary(self) -> str:
        """The first sentence of the header."""
        return SENTENCE.split(self.header, maxsplit=1)[0].rstrip(".")


@cache
def read(path: Path) -> File:
    """Read a config file.

    Raises:
        ConfigError: it is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_growth(path)
        tree = yaml.compose(text, Loader=READER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    lines = text.splitlines()
    header = _header(lines)
    root = _node(tree, lines) if isinstance(tree, yaml.MappingNode) else Node("", children={})
    assert root.children is not None
    root.children.pop("defaults", None)
    papers = [line for line in header if PAPER.match(line)]
    words = [line for line in header if not PAPER.match(line) and not line.startswith("@package")]
    return File(
        " ".join(words),
        tuple(paper for line in papers for paper in PAPER.sub("", line).split("; ")),
        any(line.split() == ["@package", "_global_"] for line in header),
        *_defaults(tree, lines),
        root,
    )


def _refuse_growth(path: Path) -> None:
    """Aliases of somebody's own file may stand for more than they look; genexp's files have none."""
    from genexp.catalogue.files import genexp_folder

    if genexp_folder() not in path.parents:
        from genexp.record.yaml_files import check_yaml

        check_yaml(path)


def _header(lines: list[str]) -> list[str]:
    """The comment at the top. Lines behind ``Paper:`` that are indented go on with it."""
    header: list[str] = []
    for line in lines:
        if not line.startswith("#"):
            break
        plain = line.removeprefix("#").removeprefix(" ")
        if plain.startswith("  ") and header and PAPER.match(header[-1]):
            header[-1] += f" {plain.strip()}"
        else:
            header.append(plain.strip())
    return [line for line in header if line]


def _defaults(tree: yaml.Node | None, lines: list[str]) -> tuple[tuple[object, ...], dict[str, str]]:
    """The entries of the defaults list, and the comments beside groups, by the group as it is written."""
    for key, value in tree.value if isinstance(tree, yaml.MappingNode) else ():
        if key.value == "defaults" and isinstance(value, yaml.SequenceNode):
            pairs = [pair for item in value.value if isinstance(item, yaml.MappingNode) for pair in item.value]
            comments = {name.value.split()[-1].partition("@")[0]: _beside(name, of, lines) for name, of in pairs}
            return tuple(yaml.load(yaml.serialize(value), Loader=READER)), comments
    return (), {}


def _node(node: yaml.Node, lines: list[str]) -> Node:
    if not isinstance(node, yaml.MappingNode):
        return Node(_text(node, lines))
    children: dict[str, Node] = {}
    for key, value in node.value:
        child = _node(value, lines)
        child.comment = _beside(key, value, lines) or _above(key.start_mark, lines)
        children[str(key.value)] = child
    return Node("{}" if not children else "", children=children)


def _text(node: yaml.Node, lines: list[str]) -> str:
    """A value in one line: as it is written, or in flow style where that takes several."""
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return repr(node.value)
    start, end = node.start_mark, node.end_mark
    if start.line == end.line or isinstance(node, yaml.ScalarNode):
        last = [lines[end.line][: end.column]] if start.line < end.line < len(lines) else []
        first = lines[start.line][start.column : None if last else end.column] if start.line < len(lines) else ""
        return " ".join(part.strip() for part in [first, *lines[start.line + 1 : end.line], *last]).strip()
    if isinstance(node, yaml.SequenceNode):
        return f"[{', '.join(_text(item, lines) for item in node.value)}]"
    return "{" + ", ".join(f"{key.value}: {_text(value, lines)}" for key, value in node.value) + "}"


def _beside(key: yaml.Node, value: yaml.Node, lines: list[str]) -> str:
    """The comment behind a value; behind the key where the value is a block below it."""
    is_below = value.start_mark.line > key.end_mark.line or getattr(value, "style", None) in ("|", ">")
    mark = key.end_mark if is_below else value.end_mark
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    found = re.match(r"\s*:?\s*#\s*(.*)" if is_below else r"[\s,}\]]*\s#\s*(.*)", rest)
    return found.group(1).strip() if found else ""


def _above(mark: yaml.Mark, lines: list[str]) -> str:
    """The comment in the lines above a key, at its indentation, which does not begin the file."""
    found: list[str] = []
    line = mark.line - 1
    while line >= 0 and lines[line].startswith(" " * mark.column + "#"):
        found.insert(0, lines[line].strip().removeprefix("#").strip())
        line -= 1
    return " ".join(found) if line >= 0 else ""
