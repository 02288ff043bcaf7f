"""Values of several runs as series: one for each configuration and protocol, and how plots tell them apart."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genexp.reports.comparison import Column, Comparison, make_columns


def by_protocol(
    found: Comparison, wanted: Callable[[dict[str, Any]], bool]
) -> Iterator[tuple[int, str, str, list[Column]]]:
    """The columns of the records that are wanted, of each configuration and protocol: its number, the protocol, a name, the
    columns."""
    groups: dict[str, list[Column]] = defaultdict(list)
    for column in make_columns(found.runs, found.rows, wanted):
        groups[json.dumps(column.protocol, sort_keys=True)].append(column)
    for row in sorted(range(len(found.configurations)), key=lambda row: [_number(cell) for cell in found.cells(row)]):
        own = {p: [c for c in columns if c.values.get(row)] for p, columns in groups.items()}
        for protocol, columns in own.items():
            if columns:
                name = ", ".join(
                    f"{key}={cell}" if found.keys else Path(cell).name
                    for key, cell in zip(found.names(), found.cells(row), strict=True)
                )
                unlike = _unlike(columns[0].protocol, [c[0].protocol for c in groups.values()])
                yield row, protocol, name + unlike, columns


def _number(cell: str) -> tuple[float, str]:
    """By which cells are sorted: numbers by their size, then words."""
    try:
        return float(cell), ""
    except ValueError:
        return float("inf"), cell


def _unlike(protocol: dict[str, Any], others: list[dict[str, Any]]) -> str:
    """What tells a protocol from others, in brackets."""
    own = [f"{k} {v}" for k, v in protocol.items() if any(other.get(k) != v for other in others)]
    return f" ({', '.join(own)})" if own else ""


def error_text(found: Comparison) -> str:
    seeds = len(found.rows) > len(found.configurations)
    return "standard deviation over seeds" if seeds else "standard error"
