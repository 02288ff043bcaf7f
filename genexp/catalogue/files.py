"""The options that there are: the YAML files of genexp and of the user's own config folder, by group."""

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from genexp.record.errors import ConfigError, nearest
from genexp.record.variables import CONFIG_DIR

HIDDEN = ("parts", "hydra")
"""Groups at the top that are not listed: nobody chooses from them."""
DEEPEST = 3
"""Groups within groups."""


@dataclass(frozen=True)
class Option:
    """A file of a config group.

    Args:
        group: its folder, as ``model/prior``; empty for the config of a verb.
        name: of the file, without suffix.
        path: of the file.
    """

    group: str
    name: str
    path: Path

    @property
    def word(self) -> str:
        """As a command names it: ``model/prior=vamp``."""
        return f"{self.group}={self.name}"


@cache
def genexp_folder() -> Path:
    """The folder of genexp's own configs."""
    found = find_spec("genexp.conf")
    return Path(found.submodule_search_locations[0])


def folders() -> list[Path]:
    """The config folders, of which the first that has a file wins, as it does with Hydra."""
    own = os.environ.get(CONFIG_DIR)
    return [genexp_folder(), *([Path(own)] if own else [])]


def options(group: str) -> list[Option]:
    """Those of a group, by name; none where there is no such group."""
    found: dict[str, Option] = {}
    for folder in folders():
        place = folder / group
        for path in sorted(place.glob("*.yaml")) if place.is_dir() else ():
            found.setdefault(path.stem, Option(group, path.stem, path))
    return [found[name] for name in sorted(found)]


def find(group: str, name: str) -> Option | None:
    """One of them; ``name`` may itself lead through groups, as in a defaults list."""
    for folder in folders():
        path = folder / group / f"{name}.yaml"
        if path.is_file():
            where = (Path(group) / name).parent
            return Option("" if where == Path(".") else where.as_posix(), path.stem, path)
    return None


def groups() -> list[str]:
    """The groups from which a command chooses, those within others after them: ``model``, ``model/prior`` ..."""
    found = {group for folder in folders() for group in _below(folder, "")}
    return sorted(group for group in found if group.split("/")[0] not in HIDDEN or group.startswith("hydra/"))


def _below(folder: Path, parent: str) -> set[str]:
    here = set()
    place = folder / parent
    for entry in os.scandir(place) if place.is_dir() else ():
        if entry.is_dir() and not entry.name.startswith((".", "_")):
            group = f"{parent}/{entry.name}".lstrip("/")
            if any(name.endswith(".yaml") for name in os.listdir(entry.path)):
                here.add(group)
            if group.count("/") + 1 < DEEPEST:
                here |= _below(folder, group)
    return here


def group_called(word: str) -> str:
    """The group that a person means: ``models`` for ``model``, ``datasets`` for ``data``, ``prior`` for ``model/prior``.

    Raises:
        ConfigError: none, or several.
    """
    there = groups()
    plain = word.strip("/").lower()
    tries = [plain, plain.removesuffix("s"), f"{plain}s", plain.removesuffix("ies") + "y"]
    tries += ["data"] if plain in ("dataset", "datasets", "data sets") else []
    for name in tries:
        if name in there:
            return name
    for name in tries:
        ends = [group for group in there if group.endswith(f"/{name}")]
        if len(ends) == 1:
            return ends[0]
        if ends:
            raise ConfigError(f"{word} is one of {', '.join(ends)}")
    raise ConfigError(f"there is no group '{word}'.{nearest(plain, there)} Groups: {', '.join(there)}")


def option_called(word: str) -> Option:
    """The option that a person means: ``model=vae``, or ``vae`` where one group has it.

    Raises:
        ConfigError: none, or several.
    """
    group, is_given, name = word.rpartition("=")
    if is_given:
        group = group_called(group)
        there = options(group)
        for option in there:
            if option.name == name.removesuffix(".yaml"):
                return option
        names = [option.name for option in there]
        raise ConfigError(f"{word}: {group} has no '{name}'.{nearest(name, names)} Available: {', '.join(names)}")
    found = [option for group in groups() for option in options(group) if option.name == word]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{word}: say which: {' or '.join(option.word for option in found)}")
    names = [option.name for group in groups() for option in options(group)]
    raise ConfigError(f"{word}: no group has an option of this name.{nearest(word, names)} genexp list shows them")
