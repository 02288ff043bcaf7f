"""What may stand at the end of a command line: verbs, groups with their options, keys with their values, run folders."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from genexp.catalogue.comments import Node, read
from genexp.catalogue.composition import Composition, compose_verb
from genexp.catalogue.files import groups, options
from genexp.record.errors import SPLITS
from genexp.record.variables import CONFIG_DIR

Candidate = tuple[str, str]
"""A word, and a line about it."""
COMPOSED = ("train", "evaluate", "sample")
"""Verbs whose words are overrides."""
FOLDERS = ("compare", "repeat", "wandb")
"""Verbs of run folders."""
VALUES: dict[str, tuple[str, ...]] = {
    "split": SPLITS,
    "evaluation.split": SPLITS,
    "checkpoint": ("best", "last"),
    "latent": ("interpolate", "traverse", "reconstruct"),
    "interpolation": ("slerp", "linear"),
    "centre": ("example", "prior"),
}
"""Of keys whose values are few."""
SETTINGS = {
    "trainer.accelerator": "ACCELERATORS",
    "trainer.precision": "PRECISIONS",
    "logger.wandb.mode": "WANDB_MODES",
}
"""The same, by their names in :mod:`genexp.runs.settings`, which is imported where one is asked for."""
AFTER = {
    "--cfg": ("job", "hydra", "all"),
    "-c": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "-i": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
"""What follows an option of Hydra."""
MOST = 500
"""Run folders that are looked at."""


def candidates(
    words: Sequence[str], current: str, verbs: Mapping[str, str], flags: Callable[[str], list[str]]
) -> list[Candidate]:
    """Whatever may stand in the place of the word at the cursor.

    Args:
        words: before it, after the command itself.
        current: the word at the cursor, as far as it is written.
        verbs: names, with a line about each.
        flags: the options of a verb.

    Raises:
        ConfigError: a config file of the user's is no YAML.
    """
    take_config_dir(words)
    if not words and "=" not in current and not current.startswith(("-", "+", "~")):
        if found := _beginning(verbs.items(), current):
            return found
    verb, rest = (words[0], words[1:]) if words and words[0] in verbs else ("train", words)
    if not words and current.startswith("-"):
        return _beginning([("--help", ""), ("--version", "")], current)
    if rest and (following := _after(verb, rest[-1])) is not None:
        return _beginning([(value, "") for value in following], current)
    if current.startswith("-"):
        return _beginning([(flag, "") for flag in flags(verb)], current)
    return list(_of_verb(verb, rest, current, flags))


def take_config_dir(words: Sequence[str]) -> None:
    """Look into the folder of configs that the command names, too."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        option, is_given, value = word.partition("=")
        if option in ("--config-dir", "-cd"):
            os.environ[CONFIG_DIR] = os.path.expanduser(value if is_given else following)


def _after(verb: str, word: str) -> tuple[str, ...] | None:
    """What follows an option that takes a value; empty where that is a file, None where nothing need follow."""
    if word in ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p"):
        return ()
    return AFTER.get(word) if verb in COMPOSED else None


def _beginning(found: Iterable[Candidate], current: str) -> list[Candidate]:
    return [(word, text) for word, text in found if word.startswith(current)]


def _of_verb(verb: str, rest: Sequence[str], current: str, flags: Callable[[str], list[str]]) -> Iterator[Candidate]:
    plain = [word for word in rest if not word.startswith("-")]
    if verb in COMPOSED or (verb == "repeat" and plain) or (verb == "shards" and plain):
        yield from _override(verb if verb in COMPOSED else "train", rest, current)
    elif verb == "list":
        yield from _beginning([(group, "") for group in groups()], current)
    elif verb == "info":
        yield from _choice(current, plain)
    elif verb == "wandb" and not plain:
        yield from _beginning([(name, "") for name in flags(verb) if not name.startswith("-")], current)
    elif verb == "completion":
        yield from _beginning([(name, "") for name in ("bash", "zsh", "fish")], current)
    elif verb in FOLDERS:
        yield from _run_folders("", current)


def _choice(current: str, plain: Sequence[str]) -> Iterator[Candidate]:
    """``group=`` or ``group=option``."""
    group, is_given, value = current.partition("=")
    if is_given:
        yield from _options_of(group, value, f"{group}=")
        return
    for name in groups():
        if name.startswith(current):
            yield f"{name}=", ""


def _override(verb: str, rest: Sequence[str], current: str) -> Iterator[Candidate]:
    sign = re.match(r"[+~]*", current)
    assert sign is not None
    key, is_given, value = current[sign.end() :].partition("=")
    composed = compose_verb(verb, rest)
    taken = {group for group, _ in composed.chosen} & set(groups())
    if not is_given:
        for word, text in _keys(verb, composed, taken, key):
            yield sign.group() + word, text
        return
    group = key.partition("@")[0]
    start = f"{sign.group()}{key}="
    if key == "run" or (key == "training.initial_weights"):
        yield from _run_folders(start, value)
    elif group in taken or group in groups():
        yield from _options_of(group, value, start)
    else:
        yield from _values(composed, key, value, start, rest)


def _keys(verb: str, composed: Composition, taken: set[str], key: str) -> Iterator[Candidate]:
    """Groups and keys that begin so; of mappings, the next part only."""
    for group in sorted(taken):
        if group.startswith(key) and ("/" not in group or "/" in key or key):
            if not (group.startswith("hydra/") and not key.startswith("hydra")):
                yield f"{group}=", ""
    if verb == "train" and "run".startswith(key):
        yield "run=", "continue a run from its folder"
    above, _, last = key.rpartition(".")
    node = composed.at(above)
    for name, child in (node.children or {}).items() if node is not None else ():
        if not name.startswith(last) or name.startswith("_") or (name == "hydra" and not key):
            continue
        full = f"{above}.{name}" if above else name
        if child.children is None or not child.children:
            yield f"{full}=", child.comment
        elif full not in taken or key:
            yield f"{full}.", child.comment


def _options_of(group: str, value: str, start: str) -> Iterator[Candidate]:
    """The options of a group; behind a comma those that are not yet there."""
    before = re.match(r"(\[?(?:[^,\[\]]*,)*\s*)", value)
    assert before is not None
    used = re.findall(r"[^,\[\]\s]+", before.group())
    for option in options(group):
        if option.name.startswith(value[before.end() :]) and option.name not in used:
            yield f"{start}{before.group()}{option.name}", read(option.path).summary
    if group == "hydra/launcher":
        from genexp.catalogue.listing import launchers_of_packages

        for name in ("basic", *launchers_of_packages()):
            if name.startswith(value):
                yield f"{start}{name}", ""


def _values(composed: Composition, key: str, value: str, start: str, rest: Sequence[str]) -> Iterator[Candidate]:
    node = composed.at(key)
    few = list(VALUES.get(key, ()))
    if key in SETTINGS:
        from genexp.runs import settings

        few = list(getattr(settings, SETTINGS[key]))
    if key == "checkpoint":
        runs = [word.partition("=")[2] for word in rest if word.startswith("run=")]
        few = sorted({path.stem for run in runs for path in Path(run, "checkpoints").glob("*.ckpt")}) or few
    if node is not None and node.text in ("true", "false"):
        few = ["true", "false"]
    if not few and node is not None and node.children is None and _is_plain(node):
        few = [node.word]
    for one in few:
        if one.startswith(value):
            yield f"{start}{one}", node.comment if node is not None else ""


def _is_plain(node: Node) -> bool:
    """Whether a value may stand on a command line as it is written, and says something there."""
    return bool(re.fullmatch(r"[\w.,+\-/\[\]]+", node.word)) and node.text not in ("null", "???")


def _run_folders(start: str, value: str) -> Iterator[Candidate]:
    """Run folders, and folders on the way to them, as far as they begin with ``value``; of a list, the last one."""
    before = re.match(r"(\[?(?:[^,\[\]]*,)*)", value)
    assert before is not None
    path = value[before.end() :]
    if not path and Path("outputs").is_dir():
        path = "outputs/"
    above, last = os.path.split(path)
    try:
        entries = sorted(entry.name for entry in os.scandir(os.path.expanduser(above) or ".") if entry.is_dir())
    except OSError:
        return
    for name in entries[:MOST]:
        if name.startswith(last) and (last.startswith(".") or not name.startswith((".", "_"))):
            found = os.path.join(above, name)
            here = os.path.expanduser(found)
            is_run = os.path.exists(os.path.join(here, "status.json"))
            yield f"{start}{before.group()}{found}{'' if is_run else '/'}", "a run" if is_run else ""
