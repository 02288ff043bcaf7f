"""What a choice of config files amounts to: their values and comments merged in the order of their defaults lists.

Hydra does the same with values; here it is done with text, as it was written, and in milliseconds. The tests compare the two."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from genexp.catalogue.comments import Node, read
from genexp.catalogue.files import Option, find, groups

Slot = tuple[str, str]
"""A group, and the key where what is chosen of it goes."""


@dataclass
class Composition:
    """Config files merged.

    Args:
        root: all values.
        chosen: the option, or options, in each slot.
        declared: what the defaults list that has a slot says; None for nothing, as ``null``.
        overridden: what files choose in slots of others.
    """

    root: Node = field(default_factory=lambda: Node("", children={}))
    chosen: dict[Slot, list[str]] = field(default_factory=dict)
    declared: dict[Slot, list[str] | None] = field(default_factory=dict)
    overridden: dict[Slot, list[str]] = field(default_factory=dict)

    def at(self, key: str) -> Node | None:
        """The value of a key, as ``model.encoder``."""
        node: Node | None = self.root
        for name in key.split(".") if key else ():
            node = node.children.get(name) if node is not None and node.children is not None else None
        return node


def compose(option: Option, package: str, choices: Mapping[Slot, list[str]] | None = None) -> Composition:
    """Merge a file with all that its defaults list brings.

    Args:
        option: the file.
        package: the key where it goes; empty for the top.
        choices: what a command chooses, before all that files choose.

    Raises:
        ConfigError: a file is no YAML.
    """
    overrides = dict(choices or {})
    _collect(option, package, overrides, frozenset())
    composition = Composition(
        overridden={slot: names for slot, names in overrides.items() if slot not in (choices or {})}
    )
    _merge_file(option, package, overrides, composition, frozenset())
    return composition


def compose_verb(verb: str, words: Iterable[str]) -> Composition:
    """The config of a verb with the options that a command chooses; of a sweep, the first of them.

    Args:
        verb: train, evaluate or sample.
        words: overrides, of which only those of groups count.

    Raises:
        ConfigError: a file is no YAML.
    """
    option = find("", verb)
    assert option is not None
    choices: dict[Slot, list[str]] = {}
    there = set(groups())
    for word in words:
        key, is_given, value = word.lstrip("+").partition("=")
        group, _, place = key.partition("@")
        if is_given and group in there:
            names = [name for name in re.findall(r"[\w.-]+", value) if name != "null"]
            choices[group, place or group.replace("/", ".")] = names if value.startswith("[") else names[:1]
    return compose(option, "", choices)


def leaves(node: Node, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """``(key, value)`` of everything below a node that is no mapping with entries."""
    for name, child in (node.children or {}).items():
        key = f"{prefix}.{name}" if prefix else name
        if child.children:
            yield from leaves(child, key)
        else:
            yield key, child


def _collect(option: Option, package: str, overrides: dict[Slot, list[str]], around: frozenset[Option]) -> None:
    """Find what files choose in the place of others: the first that is found counts, from the outside to the inside, and from the
    end of a defaults list to its beginning."""
    entries = [_entry(entry, option, package) for entry in read(option.path).defaults if entry != "_self_"]
    for entry in entries:
        if entry.is_override:
            overrides.setdefault(entry.slot, entry.names)
    for entry in reversed(entries):
        if not entry.is_override:
            for inner, place in _files(entry, overrides, around):
                _collect(inner, place, overrides, around | {option})


def _merge_file(
    option: Option, package: str, overrides: Mapping[Slot, list[str]], into: Composition, around: frozenset[Option]
) -> None:
    file = read(option.path)
    for item in [*file.defaults, *(["_self_"] if "_self_" not in file.defaults else [])]:
        if item == "_self_":
            _put(into.root, package, file.root)
            continue
        entry = _entry(item, option, package)
        if entry.is_override and not entry.slot[0].startswith("hydra/"):  # these groups Hydra declares itself
            continue
        if entry.is_choice:
            is_nothing = isinstance(item, dict) and next(iter(item.values())) is None
            into.declared[entry.slot] = None if is_nothing else entry.names
            into.chosen[entry.slot] = overrides.get(entry.slot, entry.names)
        for inner, place in _files(entry, overrides, around):
            _merge_file(inner, place, overrides, into, around | {option})


@dataclass(frozen=True)
class _Entry:
    """Of a defaults list: the slot that it fills, and with what; whether in the place of another; whether one can choose."""

    slot: Slot
    names: list[str]
    is_override: bool
    is_choice: bool
    is_placed: bool


def _files(
    entry: _Entry, overrides: Mapping[Slot, list[str]], around: frozenset[Option]
) -> Iterator[tuple[Option, str]]:
    """The files that an entry brings, each with the key where it goes."""
    group, place = entry.slot
    for name in overrides.get(entry.slot, entry.names) if entry.is_choice else entry.names:
        inner = find(group, name)
        if inner is not None and inner not in around:
            yield inner, "" if read(inner.path).is_global and not entry.is_placed else place


def _entry(item: object, option: Option, package: str) -> _Entry:
    if isinstance(item, dict):
        key, value = next(iter(item.items()))
        words = str(key).split()
        group, _, place = words[-1].partition("@")
        names = value if isinstance(value, list) else [] if value is None else [value]
        slot = _clean(group, option), _place(package, place or group.strip("/").replace("/", "."))
        return _Entry(slot, [str(name) for name in names], "override" in words, True, bool(place))
    path, _, place = str(item).partition("@")
    group, _, name = _clean(path, option).rpartition("/")
    return _Entry((group, _place(package, place) if place else package), [name], False, False, bool(place))


def _clean(path: str, option: Option) -> str:
    """A group or a file from the top."""
    return path.strip("/") if path.startswith("/") or not option.group else f"{option.group}/{path}"


def _place(package: str, place: str) -> str:
    """A key from the top, of one that counts from a package."""
    if place == "_here_":
        return package
    if place.split(".")[0] == "_global_":
        return place.removeprefix("_global_").lstrip(".")
    return f"{package}.{place}" if package else place


def _put(root: Node, package: str, node: Node) -> None:
    target = root
    for name in package.split(".") if package else ():
        assert target.children is not None
        inner = target.children.get(name)
        if inner is None or inner.children is None:
            inner = target.children[name] = Node("", inner.comment if inner else "", {})
        target = inner
    _merge(target, node)


def _merge(old: Node, new: Node) -> None:
    """Mappings entry by entry; of anything else the new one counts. A comment stays until another replaces it."""
    old.comment = new.comment or old.comment
    if new.children is None:
        old.text, old.children = new.text, None
        return
    if old.children is None:
        old.children = {}
    for name, child in new.children.items():
        _merge(old.children.setdefault(name, Node("", "", {} if child.children is not None else None)), child)
    old.text = "" if old.children else "{}"
