"""Malformed commands, made from every leaf of the composed configs of three models: a wrong type, a value out of range, one edit in
the name of a key, of an option, a verb or a switch. Each says which key the refusal must name, and for a typo the true name.

What may be wrong with a leaf follows from what the leaf *is*, which :mod:`torture.leaf_kinds` says; values that are right are left
out there for that reason, and never because genexp took them.
"""

import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from torture.leaf_kinds import SPECIAL, WRONG, kind_of
from torture.verbs import call

MODELS = ("made", "vae", "dcgan")
BASE = ("data=digits", "logger=wandb")
OPTIONS = (
    "model",
    "data",
    "training",
    "trainer",
    "logger",
    "metrics",
    "monitors",
    "callbacks",
    "debug",
    "experiment",
    "sweep",
    "hydra/sweeper",
)
VERBS = ("train", "repeat", "evaluate", "sample", "compare", "wandb", "published")
SWITCHES = ("--multirun", "--config-dir", "--cfg", "--info", "--help")


@dataclass(frozen=True)
class Case:
    """A malformed command.

    Attributes:
        words: after ``genexp``.
        key: that the refusal must name.
        true: the nearest name that it must offer, for a typo; else empty.
        kind: value, key, option, verb or switch.
    """

    words: tuple[str, ...]
    key: str
    true: str = ""
    kind: str = "value"


def leaves(node: DictConfig, path: str = "") -> Iterator[str]:
    """Dotted keys of what a command line sets: numbers, texts, lists, null, and empty mappings."""
    for name in node:
        key, child = f"{path}.{name}" if path else str(name), node._get_node(name)
        if isinstance(child, DictConfig) and len(child):
            yield from leaves(child, key)
        else:
            yield key


def composed(model: str) -> DictConfig:
    with initialize_config_module("genexp.conf", version_base="1.3"):
        return compose("train", ["name=test", f"model={model}", *BASE])


def one_edit(name: str, draws: random.Random) -> str:
    """A name with one character put in, left out, changed, or swapped with its neighbour."""
    place, letter = draws.randrange(len(name)), draws.choice("abcdefghijklmnopqrstuvwxyz_")
    if name[place] in ".-/":
        return one_edit(name, draws)
    edits = [name[:place] + letter + name[place:], name[:place] + letter + name[place + 1 :]]
    if len(name) > 3:
        edits.append(name[:place] + name[place + 1 :])
    if place + 1 < len(name) and name[place + 1] not in ".-/":
        edits.append(name[:place] + name[place + 1] + name[place] + name[place + 2 :])
    edited = draws.choice(edits)
    return one_edit(name, draws) if edited == name else edited


def cases(seed: int = 0) -> list[Case]:
    """All malformed commands, each once, in an order that the seed shuffles."""
    draws = random.Random(seed)
    shared = set(leaves(composed(MODELS[0])))
    found: dict[tuple[str, ...], Case] = {}
    for model in MODELS:
        config = composed(model)
        keys = list(leaves(config))
        begin = ("train", f"model={model}", *BASE)
        for key in keys:
            kind = kind_of(key)
            values = SPECIAL.get(kind) or WRONG.get(kind.rstrip("?"), ())
            for value in values:
                if value == "null" and kind.endswith("?"):
                    continue
                if value == "''" and key.startswith("training.monitor"):
                    continue
                base = model if key.startswith("model") or key not in shared else MODELS[0]
                words = ("train", f"model={base}", *BASE, f"{key}={value}")
                found[words] = Case(words, key)
            typo = one_edit(key, draws)
            if typo in keys or any(other.startswith(f"{typo}.") for other in keys) or typo.count(".") != key.count("."):
                continue
            words = (*begin, f"{typo}=1")
            found[words] = Case(words, typo, key, "key")
    for case in [*_options(draws), *_words(draws)]:
        found[case.words] = case
    shuffled = list(found.values())
    draws.shuffle(shuffled)
    return shuffled


def _options(draws: random.Random) -> Iterator[Case]:
    root = Path(__file__).parents[2] / "conf"
    for group in OPTIONS:
        names = sorted(path.stem for path in (root / group).glob("*.yaml"))
        for name in names:
            typo = one_edit(name, draws)
            if typo not in names:
                yield Case(("train", f"{group}={typo}"), typo, name, "option")
        typo = one_edit(group, draws)
        if typo not in OPTIONS:
            yield Case(("train", f"{typo}={names[0]}"), typo, group, "key")


def _words(draws: random.Random) -> Iterator[Case]:
    for verb in VERBS:
        typo = one_edit(verb, draws)
        yield Case((typo,), typo, verb, "verb")
    for switch in SWITCHES:
        typo = f"--{one_edit(switch[2:], draws)}"
        if not switch.startswith(typo):  # Hydra takes a beginning for the whole
            yield Case(("train", typo), typo, switch, "switch")


@dataclass
class Outcome:
    """How a malformed command ended."""

    case: Case
    code: object
    error: str
    folder_left: bool
    seconds: float

    @property
    def one_line(self) -> bool:
        return self.error.startswith("genexp: error: ") and self.error.count("\n") == 1

    @property
    def key_named(self) -> bool:
        return self.case.key in self.error

    @property
    def nearest_right(self) -> bool:
        return not self.case.true or f"'{self.case.true}'" in self.error


def attempt(case: Case, limit_s: float = 15.0) -> Outcome:
    """Run a command in this process, in the present folder. One that begins to train is ended after so many seconds."""

    def late(*_: object) -> None:
        raise RuntimeError("it was not refused")

    before, started = set(Path().rglob("*")), time.process_time()
    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(limit_s))
    try:
        code, _, err = call(*case.words)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    return Outcome(case, code, err, set(Path().rglob("*")) != before, time.process_time() - started)


def as_process(case: Case) -> tuple[float, bool]:
    """Processor seconds of a command of its own, and whether it imported PyTorch."""
    program = (
        "import sys, time, atexit\n"
        f"sys.argv = ['genexp', *{list(case.words)!r}]\n"
        "atexit.register(lambda: print(time.process_time(), 'torch' in sys.modules))\n"
        "from genexp.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    seconds, with_torch = done.stdout.split()[-2:]
    return float(seconds), with_torch == "True"


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, and the commands that were not refused as they should be."""
    typos = [outcome for outcome in outcomes if outcome.case.true]
    bad = [o for o in outcomes if not (o.code == 2 and o.one_line and o.key_named and not o.folder_left)]
    return {
        "tried": len(outcomes),
        "exit2": sum(o.code == 2 for o in outcomes),
        "one_line": sum(o.one_line for o in outcomes),
        "key_named": sum(o.key_named for o in outcomes),
        "typos": len(typos),
        "nearest_right": sum(o.nearest_right for o in typos),
        "folder_left": sum(o.folder_left for o in outcomes),
        "accepted": [" ".join(o.case.words) for o in outcomes if o.code == 0],
        "bad": [(" ".join(o.case.words), str(o.code), o.error[:300]) for o in bad],
        "far": [(" ".join(o.case.words), o.case.true, o.error[:300]) for o in typos if not o.nearest_right],
        "median_s": round(statistics.median(o.seconds for o in outcomes), 3),
    }
