"""Python modules read from their source, without running them: where a dotted name is defined, and what is there instead.

Importing PyTorch and Lightning takes seconds, reading the few files that a config names takes milliseconds.
"""

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from genexp.record.errors import nearest


@dataclass(frozen=True, eq=False)
class Module:
    """A module's source.

    Attributes:
        name: dotted.
        path: of the file.
        names: what its top level binds: by name a definition, an assigned expression, or ``(module, name)`` of an import, where
            the name is empty for a module.
        stars: modules of which it imports everything.
        is_open: whether names may be bound in a way that cannot be read, such as ``__getattr__``.
    """

    name: str
    path: Path
    names: dict[str, ast.AST | tuple[str, str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    is_open: bool = False


@dataclass(frozen=True)
class Definition:
    """A class, a function, or an expression that a name stands for, with the module it stands in."""

    module: Module
    node: ast.AST

    @property
    def key(self) -> str:
        """Dotted, the same for all ways to name it."""
        return f"{self.module.name}.{getattr(self.node, 'name', '')}"


@cache
def file_of(name: str) -> Path | None:
    """The file, or the folder, of a module; None if there is none, or none that is written in Python."""
    top, *rest = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # a parent of no package, a module without a spec
        return None
    if spec is None:
        return None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    if not rest:
        return places[0] if places else Path(spec.origin or "")
    for place in places:
        path = place.joinpath(*rest)
        if path.is_dir():
            return path
        if path.with_name(f"{path.name}.py").is_file():
            return path.with_name(f"{path.name}.py")
    return None


@cache
def read(name: str) -> Module | None:
    """The source of a module; None if it has none that can be read."""
    path = file_of(name)
    if path is None:
        return None
    is_package = path.is_dir()
    file = path / "__init__.py" if is_package else path
    if is_package and not file.is_file():
        return Module(name, path)
    try:
        text = file.read_bytes()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return None
    module = Module(name, path)
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in _top_level(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            module.names[node.name] = node
        elif isinstance(node, ast.Assign):
            module.names.update({target.id: node.value for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            module.names[node.target.id] = node.value
        elif isinstance(node, ast.Import):
            for alias in node.names:
                module.names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0],
                    "",
                )
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                if alias.name == "*":
                    module.stars.append(source)
                else:
                    module.names[alias.asname or alias.name] = (source, alias.name)
    is_open = "__getattr__" in module.names or b"globals()" in text
    return Module(name, path, module.names, module.stars, is_open)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, those under ``if`` and ``try`` included."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody") if isinstance(node, ast.If | ast.Try) else ():
            yield from _top_level(getattr(node, part, []))
        for handler in node.handlers if isinstance(node, ast.Try) else ():
            yield from _top_level(handler.body)


def look_up(module: Module, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> Definition | Module | None:
    """What a name at the top level of a module stands for, through imports; None if that cannot be read."""
    if (module.name, name) in seen:
        return None
    seen |= {(module.name, name)}
    found = module.names.get(name)
    if isinstance(found, tuple):
        source, original = found
        origin = read(source)
        if origin is None or not original:
            return origin
        return look_up(origin, original, seen) or read(f"{source}.{original}")
    if found is not None:
        return Definition(module, found)
    for star in module.stars:
        if (origin := read(star)) is not None and (there := look_up(origin, name, seen)) is not None:
            return there
    return read(f"{module.name}.{name}") if module.path.is_dir() else None


@cache
def locate(target: str) -> Definition | None:
    """The definition that a dotted name leads to; None if that cannot be read."""
    here, rest, _ = _begin(target)
    for part in rest:
        if not isinstance(here, Module):
            return None
        here = look_up(here, part)
    return here if isinstance(here, Definition) else None


def _begin(target: str) -> tuple[Module | None, list[str], str]:
    """The module in which to look for the last words of a dotted name, these words, and the module's name. The packages above it
    are not read, since that of PyTorch is long."""
    parts = target.split(".")
    n = 1
    while n < len(parts) - 1 and file_of(".".join(parts[: n + 1])) is not None:
        n += 1
    name = ".".join(parts[:n])
    return read(name), parts[n:], name


def misspelt(target: str) -> str | None:
    """What is wrong with a dotted name that leads nowhere, and the nearest that leads somewhere; None if nothing is, as far as
    can be read."""
    top = target.split(".")[0]
    if file_of(top) is None:
        if top in sys.builtin_module_names:
            return None
        return f"there is no module '{top}'.{nearest(top, ['genexp', 'torch', 'torchmetrics', 'pytorch_lightning'])}"
    start, rest, reached = _begin(target)
    here: Definition | Module | None = start
    for part in rest:
        if not isinstance(here, Module):
            return None
        there = look_up(here, part)
        if there is None:
            if here.is_open or part in here.names:  # an import of something that is not written in Python
                return None
            return f"there is no '{part}' in {reached}.{nearest(part, _inside(here))}"
        here, reached = there, f"{reached}.{part}"
    return "that is a module; name a class in it" if isinstance(here, Module) else None


def _inside(module: Module) -> list[str]:
    """Public names of a module: what it binds, and the modules of a package."""
    names = {name for name in module.names if not name.startswith("_")}
    for star in module.stars:
        if (origin := read(star)) is not None:
            names |= set(_inside(origin))
    if module.path.is_dir():
        names |= {
            os.path.splitext(entry.name)[0] for entry in module.path.iterdir() if not entry.name.startswith(("_", "."))
        }
    return sorted(names)
