"""Values of runs as rows of numbers: a pandas frame of every run, or a CSV or JSON file of what ``genexp compare`` shows."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from genexp.record.provenance import write_atomically
from genexp.reports.comparison import Column, Comparison, gather

if TYPE_CHECKING:
    import pandas

ABOUT = ("key", "quantity", "split", "unit", "kind", "direction")
"""Of a record, what says what its value is a value of."""


def results(runs: str | PathLike[str] | Sequence[str | PathLike[str]]) -> "pandas.DataFrame":
    """The final values of runs, one row for each run and value.

    Args:
        runs: run folders, or folders that hold some such as a sweep's; one or several.

    Returns:
        Columns: ``run`` (the folder), ``seed`` (of the training), a column for each setting that differs between the runs,
        ``key``, ``quantity``, ``split``, ``unit`` (nats, bits/dim or ""), ``kind`` (exact, bound or estimate), ``direction``
        (min or max: which values are better), ``value`` and ``stderr`` in that unit, ``n`` examples, ``checkpoint``, ``ema``,
        ``images_seen``, and the protocol in columns ``protocol.<entry>``. What a row does not have is missing in it. Values
        with different protocols are not comparable, nor are values of different kinds.

    Raises:
        ConfigError: there is no run, or none with values. Of runs that cannot be read a line says why, on standard error.
    """
    import pandas

    paths = [runs] if isinstance(runs, str | PathLike) else runs
    found = gather([fspath(path) for path in paths], Console(stderr=True))
    rows = []
    for run, row in zip(found.runs, found.rows, strict=True):
        settings = settings_of(found, row)
        rows += [{"run": str(run.path), **settings, **_of_record(record)} for record in run.metrics()]
    return pandas.DataFrame(rows)


def _of_record(record: Mapping[str, Any]) -> dict[str, Any]:
    plain = ("value", "stderr", "n", "checkpoint", "ema", "images_seen")
    own = {"seed": record.get("train_seed", record.get("seed"))}
    return {**own, **{name: record.get(name) for name in (*ABOUT, *plain)}, **_columns(record["protocol"])}


def _columns(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {f"protocol.{name}": value for name, value in protocol.items()}


def settings_of(found: Comparison, row: int) -> dict[str, str]:
    """What tells a configuration apart, by full keys and names of groups; empty where there is but one."""
    return {key.lstrip("="): found.configurations[row].get(key, "") for key in found.keys}


def rows_of(found: Comparison, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """One row for each configuration and column of the comparison that has a value.

    Args:
        found: the runs.
        columns: metrics, each under one protocol.

    Returns:
        ``settings`` (what tells the configuration apart), ``seeds`` (of this value), what it is a value of, ``value`` (the mean
        over seeds), ``stderr`` (of ``value``: of one seed as recorded, of several ``sd / sqrt(seeds)``), ``sd`` over seeds,
        ``best`` (of its column; None where there is nothing to compare), ``n`` and ``protocol``.
    """
    rows = []
    bests = [column.best() for column in columns]
    for i in range(len(found.configurations)):
        settings = settings_of(found, i) or {"run": found.cells(i)[0]}
        for column, best in zip(columns, bests, strict=True):
            if not column.values.get(i):
                continue
            value, spread = column.mean(i)
            seeds = len(column.values[i])
            rows.append(
                {
                    "settings": settings,
                    "seeds": seeds,
                    **{name: column.about[name] for name in ABOUT},
                    "value": value,
                    "stderr": spread if seeds == 1 or spread is None else spread / math.sqrt(seeds),
                    "sd": spread if seeds > 1 else None,
                    "best": None if best is None else best == i,
                    "n": column.about["n"],
                    "protocol": column.protocol,
                }
            )
    return rows


def write_csv(found: Comparison, columns: Sequence[Column], path: Path) -> None:
    """Write :func:`rows_of` with a column for each setting and each entry ``protocol.<entry>`` of the protocols; numbers are
    written in full, and what a row does not have is empty."""
    lines = []
    for row in rows_of(found, columns):
        settings, protocol = row.pop("settings"), row.pop("protocol")
        lines.append({**settings, **row, **_columns(protocol)})
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for line in lines for name in line)))
        writer.writeheader()
        writer.writerows(lines)


def write_json(found: Comparison, columns: Sequence[Column], path: Path) -> None:
    """Write :func:`rows_of` as a list; a value that is not finite is null, which JSON has no number for."""
    rows = [{name: _finite(value) for name, value in row.items()} for row in rows_of(found, columns)]
    write_atomically(path, json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
