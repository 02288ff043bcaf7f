"""Several runs side by side: configurations in rows, seeds aggregated, unlike protocols apart."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.record.errors import ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.record.identity import BOOKKEEPING, flatten, without
from genexp.record.small_files import DamagedFile
from genexp.reports.tables import figure

NOT_A_CONFIGURATION = (*BOOKKEEPING, "seed", "data.seed", "metrics")
"""Parts of the config, and groups, that do not distinguish two configurations."""


@dataclass
class Column:
    """One metric under one protocol: what all its records share.

    Attributes:
        about: a record.
        protocol: of the records, with what the weights had seen.
    """

    about: dict[str, Any]
    protocol: dict[str, Any]
    values: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Values of the seeds, by row."""
    errors: dict[int, list[float | None]] = field(default_factory=lambda: defaultdict(list))

    @property
    def key(self) -> str:
        return self.about["key"]

    def text(self, row: int) -> str:
        """The mean over seeds ± standard deviation, or one value ± standard error; ``≤`` before a bound."""
        values = self.values.get(row)
        if not values:
            return "-"
        bound = "≤ " if self.about["kind"] == "bound" else ""
        return bound + figure(*self.mean(row))

    def mean(self, row: int) -> tuple[float, float | None]:
        """The mean over seeds, and their standard deviation; of one seed the value and its standard error, or None."""
        values = self.values[row]
        return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else self.errors[row][0]

    def best(self) -> int | None:
        """The row with the best mean; None if there are not two to compare, or no value is better than others."""
        means = {row: statistics.mean(values) for row, values in self.values.items() if values}
        means = {row: mean for row, mean in means.items() if math.isfinite(mean)}
        if len(means) < 2 or self.about["direction"] is None:
            return None
        return (min if self.about["direction"] == "min" else max)(means, key=means.__getitem__)


def find_runs(paths: Sequence[str]) -> list[RunFolder]:
    """The runs at and below the given folders, in order.

    Raises:
        ConfigError: a folder does not exist, or holds no run.
    """
    runs: list[RunFolder] = []
    for path in map(Path, paths):
        if "\0" in str(path) or not path.is_dir():
            beside = [str(p) for p in path.parent.glob("*/")] if path.parent.is_dir() else []
            raise ConfigError(f"{path} is not a folder.{nearest(str(path), beside)}")
        found = sorted((p.parent.parent for p in path.glob("**/.hydra/config.yaml")), key=_natural)
        if not found:
            raise ConfigError(f"{path} holds no run (no .hydra/config.yaml in it or below it)")
        runs += [RunFolder(p) for p in found]
    return runs


def _natural(path: Path) -> tuple[Any, ...]:
    head = path.name.split("-")[0]
    return (path.parent, int(head) if head.isdigit() else -1, path.name)


def configuration(run: RunFolder) -> dict[str, str]:
    """What distinguishes this run from others: the leaves of its resolved config, and the overrides' group choices."""
    choices = run.choices()
    groups = {f"={g}": str(choice) for g, choice in choices.items() if g.split("/")[0] not in NOT_A_CONFIGURATION}
    return {**groups, **without(flatten(run.resolved()), NOT_A_CONFIGURATION)}


def differences(configurations: list[dict[str, str]]) -> list[str]:
    """Keys that tell the configurations apart, fewest first: chosen groups, then single keys that the groups do not
    already explain."""
    keys = dict.fromkeys(key for c in configurations for key in c)
    differing = [key for key in keys if len({c.get(key) for c in configurations}) > 1]
    chosen: list[str] = []
    for key in sorted(differing, key=lambda key: not key.startswith("=")):
        groups = defaultdict(set)
        for c in configurations:
            groups[tuple(c.get(k) for k in chosen)].add(c.get(key))
        if any(len(values) > 1 for values in groups.values()):
            chosen.append(key)
    return chosen


@dataclass
class Comparison:
    """Runs that have metrics, by configuration.

    Attributes:
        runs: the runs.
        rows: the configuration of each run, by its number.
        keys: what tells configurations apart.
        configurations: each configuration by its number.
    """

    runs: list[RunFolder]
    rows: list[int]
    keys: list[str]
    configurations: list[dict[str, str]]

    def cells(self, row: int) -> list[str]:
        """What tells a configuration apart, or else the folder of its run."""
        own = self.configurations[row]
        return [own.get(key, "-") for key in self.keys] or [str(self.runs[self.rows.index(row)].path)]

    def names(self) -> list[str]:
        """Of the cells."""
        return [key.lstrip("=").removeprefix("model.") for key in self.keys] or ["run"]


def gather(paths: Sequence[str], console: Console) -> Comparison:
    """The runs at and below the given folders that have values of their present weights; of others it is said why not.

    Raises:
        ConfigError: there is no run, or none with values; of a single run the reason.
    """

    def say(line: str) -> None:
        console.print(f"  {line}", highlight=False, soft_wrap=True)

    runs = find_runs(paths)
    done: list[RunFolder] = []
    configurations: list[dict[str, str]] = []
    n_readable = 0
    for run in runs:
        try:
            if reason := run.unreadable():
                say(f"left out: {reason}")
                continue
            if (kind := run.debug()) is not None:
                say(f"left out: {run.path} is a debug run (debug={kind})")
                continue
            values, stale, state = run.metrics(), run.stale(), run.state()
            own = configuration(run) if values else {}
        except DamagedFile as error:
            if len(runs) == 1:
                raise
            say(f"left out: {error}")
            continue
        n_readable += 1
        if stale:
            say(f"{run.path}: {_about(stale)}")
        if values:
            done.append(run)
            configurations.append(own)
        else:
            say(f"{run.path}: {state}, no metrics {run.status().get('error') or ''}")
    if not done:
        raise ConfigError(
            f"none of the {n_readable} runs has metrics yet"
            if n_readable
            else "none of the runs can be read, or is a result"
        )
    keys = differences(configurations)
    identities = [tuple(sorted(c.items())) for c in configurations]
    unlike = {identity: c for identity, c in zip(identities, configurations, strict=True)}
    rows = [list(unlike).index(identity) for identity in identities]
    return Comparison(done, rows, keys, list(unlike.values()))


def _about(stale: Sequence[dict[str, Any]]) -> str:
    """What values are left out, and how to have them again."""
    seen = sorted({f"{r['checkpoint']} at {r.get('images_seen', 0):,} images" for r in stale})
    return (
        f"left out {len(stale)} value{'s' * (len(stale) > 1)} of weights that it has no more ({', '.join(seen)}); "
        "genexp evaluate computes them anew"
    )


def make_columns(runs: list[RunFolder], rows: list[int], wanted: Callable[[dict[str, Any]], bool]) -> list[Column]:
    """One column per metric and protocol, of the records that are wanted; likelihood before sample quality, as the runs have
    them."""
    columns: dict[str, Column] = {}
    for run, row in zip(runs, rows, strict=True):
        for record in run.metrics():
            if not wanted(record):
                continue
            protocol = {**record["protocol"], "checkpoint": record["checkpoint"], "ema": record["ema"]}
            identity = json.dumps([record["key"], protocol], sort_keys=True)
            column = columns.setdefault(identity, Column(record, protocol))
            column.values[row].append(record["value"])
            column.errors[row].append(record["stderr"])
    order = {"exact": 0, "bound": 1, "estimate": 2}
    return sorted(columns.values(), key=lambda c: order[c.about["kind"]])
