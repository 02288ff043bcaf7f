"""Words of a command as users of Hydra write them, as genexp means them: what Hydra would refuse, or take and ignore."""

import re
from collections.abc import Sequence
from typing import Any

from genexp.catalogue.composition import Composition, compose_verb
from genexp.catalogue.files import groups, options
from genexp.record.errors import ConfigError
from genexp.runs import settings

PARAMS = "hydra.sweeper.params."
SILENT = ("--cfg", "-c", "--info", "-i", "--help", "-h", "--hydra-help", "--version")
"""Options with which nothing is run."""
VERBS: dict[str, Any] = {"train": settings.Run, "evaluate": settings.Evaluate}
"""Of verbs, the class of the config: what has a default there may be nothing."""


def as_meant(verb: str, given: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The overrides of a command in words that Hydra takes.

    ``+group=option`` of a group that has a default is ``group=option``. ``group=null`` and ``~group`` choose nothing of it, in
    whichever way that is written for this group. ``hydra.sweeper.params.key=values`` is the sweep ``key=values``.

    Args:
        verb: whose config it is.
        given: the options before the overrides.
        overrides: the rest of the command.

    Raises:
        ConfigError: a word would have no effect, or nothing cannot be chosen of a group.
    """
    there = set(groups())
    if not any(_needs_look(word, there) for word in overrides):
        return list(overrides)
    composed = compose_verb(verb, overrides)
    found: list[str] = []
    for word in overrides:
        sign, key, value = _parts(word)
        group = key.partition("@")[0]
        if key.startswith(PARAMS) and value is not None:
            found.append(_of_sweep(word, key, value, given, overrides))
        elif key == "hydra.job.chdir" and value != "false":
            raise ConfigError(
                f"{word}: a run writes into its folder by itself; paths count from where the command starts"
            )
        elif key == "hydra/sweeper" and value == "basic":
            raise ConfigError(
                f"{word}: use hydra/sweeper=grid, which is chosen anyway: the same combinations, planned before they run"
            )
        elif group not in there or group not in {slot[0] for slot in composed.chosen} or (value or "").startswith("{"):
            found.append(word)  # entries that are added to what is chosen, for one
        elif sign == "~" or value == "null":
            found = [other for other in found if _parts(other)[1] != key]
            found += _nothing(verb, word, key, composed)
        else:
            plain = key if sign in ("+", "++") else f"{sign}{key}"
            found.append(f"{plain}={_without_null(group, value or '')}")
    return found


def _parts(word: str) -> tuple[str, str, str | None]:
    """Sign, key and value of an override; None without ``=``."""
    match = re.fullmatch(r"(\+\+|\+|~)?([^=]*)(?:=(.*))?", word, re.DOTALL)
    assert match is not None
    return match.group(1) or "", match.group(2), match.group(3)


def _needs_look(word: str, there: set[str]) -> bool:
    sign, key, value = _parts(word)
    if key.startswith((PARAMS, "hydra.job.chdir")) or word == "hydra/sweeper=basic":
        return True
    return key.partition("@")[0] in there and (sign != "" or "null" in (value or "").split(","))


def _of_sweep(word: str, key: str, value: str, given: Sequence[str], overrides: Sequence[str]) -> str:
    chosen = {part[1]: part[2] for part in map(_parts, overrides)}
    is_sweep = any(option in ("-m", "--multirun") for option in given) or chosen.get("hydra.mode") == "MULTIRUN"
    if (
        not is_sweep
        and chosen.get("sweep") in (None, "null")
        and "experiment" not in chosen
        and not set(given) & set(SILENT)
    ):
        raise ConfigError(f"{word}: has no effect without a sweep: -m {key.removeprefix(PARAMS)}={value}")
    return f"{key.removeprefix(PARAMS)}={value.strip(chr(34) + chr(39))}"


def _nothing(verb: str, word: str, key: str, composed: Composition) -> list[str]:
    """The words that choose nothing of a group."""
    group, _, place = key.partition("@")
    names = [option.name for option in options(group)]
    declared = composed.declared[group, place or group.replace("/", ".")]
    if "none" in names:
        return [f"{key}=none"]
    if declared is None:
        return [f"~{key}"]
    if declared == [] or _may_be_nothing(verb, group):
        return [f"{key}=[]"]
    raise ConfigError(f"{word}: one is needed: {', '.join(names)}")


def _may_be_nothing(verb: str, group: str) -> bool:
    fields = VERBS[verb].__dataclass_fields__ if verb in VERBS else {}
    return group in fields and fields[group].default is None


def _without_null(group: str, value: str) -> str:
    """Values of a sweep, one of which may be nothing."""
    if "none" not in [option.name for option in options(group)] or value.startswith("["):
        return value
    return ",".join("none" if name == "null" else name for name in value.split(","))
