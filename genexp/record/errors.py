"""What is wrong with the user's input, in one line."""

import argparse
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any, NoReturn

SPLITS = ("train", "validation", "test")
LONGEST = 120
"""Characters of a value that a message shows."""


class ConfigError(ValueError):
    """The user's input is wrong: one line that names the key or file and what would be right."""


def nearest(name: str, names: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the most similar of ``names``, or an empty string."""
    match = most_similar(name, names)
    return "" if match is None else f" Did you mean '{match}'?"


def most_similar(name: str, names: Iterable[str]) -> str | None:
    """The name that the fewest edits lead to, or the most similar one where it takes many; None if none is similar at all."""
    folded = {candidate: candidate.lower() for candidate in names}
    wanted, few = name.lower(), max(1, len(name) // 4)
    ranked = []
    for candidate, text in folded.items():
        ratio = SequenceMatcher(a=wanted, b=text, autojunk=False).ratio()
        far = edits(wanted, text) if abs(len(wanted) - len(text)) <= few else few + 1
        if far <= few or ratio >= 0.5:
            ranked.append((min(far, few + 1), -ratio, candidate))
    return min(ranked)[2] if ranked else None


def edits(a: str, b: str) -> int:
    """How many characters must be put in, left out, changed, or swapped with their neighbour to make ``b`` of ``a`` (the optimal
    string alignment distance; Boytsov 2011, section 2.1)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def check_choice(key: str, value: str, valid: Sequence[str]) -> None:
    """Refuse a value that is not among ``valid``, with the nearest that is."""
    if value not in valid:
        raise ConfigError(f"{key}={shown(value)}: must be one of {', '.join(valid)}.{nearest(str(value), valid)}")


def shown(value: Any) -> str:
    """A value as a config writes it, in one line and not too long."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(item) for item in value) + "]"
    else:
        text = str(value) if str(value).isprintable() else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."


class Parser(argparse.ArgumentParser):
    """Reads the words of a verb; what is wrong with them is one line, with the nearest option."""

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        unknown = message.partition("unrecognized arguments: ")[2].split()
        hint = nearest(unknown[0].partition("=")[0], known) if unknown and unknown[0].startswith("-") else ""
        if choice := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            hint = nearest(choice.group(1), re.findall(r"[\w-]+", choice.group(2)))
        raise ConfigError(f"{self.prog}: {message}{'.' * bool(hint)}{hint}")
