"""Compare: one table of several runs, for a person; and the same values as numbers, for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genexp.record.errors import ConfigError, nearest
from genexp.record.values import is_nll, words
from genexp.reports.comparison import Column, Comparison, gather, make_columns
from genexp.reports.output import check_output, writing
from genexp.reports.results import write_csv, write_json
from genexp.reports.tables import ARROWS, protocol_text
from genexp.terminal import bold

WRITERS = {"--csv": write_csv, "--json": write_json}
"""By the option that names the file."""
LEGEND = (
    "* best of its column;  ± standard deviation over seeds (one seed: standard error);  ≤ bound, not exact;",
    "columns are ranked each by itself: exact values, bounds and unlike protocols are never ranked together",
)


def compare(paths: Sequence[str], wanted: Sequence[str], files: dict[str, str], console: Console) -> None:
    """The verb: print the table, and write it to files if asked.

    Args:
        paths: run folders, or folders that hold some.
        wanted: parts of metric keys to show; empty for all, each likelihood in its customary unit.
        files: where the numbers go, by the option that names the file, of :data:`WRITERS`.
        console: where to write.
    """
    for option, file in files.items():
        check_output(option, file)
    found = gather(paths, console)
    columns = make_columns(
        found.runs, found.rows, lambda r: any(w in r["key"] for w in wanted) if wanted else _customary(r)
    )
    if not columns:
        there = sorted({record["key"] for run in found.runs for record in run.metrics()})
        raise ConfigError(
            f"--metrics {','.join(wanted)}: no metric has that in its key.{nearest(wanted[0], there)} There are: {', '.join(there)}"
        )
    show(found, columns, console)
    for option, file in files.items():
        with writing(option, Path(file)):
            WRITERS[option](found, columns, Path(file))


def show(found: Comparison, columns: Sequence[Column], console: Console) -> None:
    """Print the table of configurations against metrics, in parts that are no wider than the console."""
    counts = (
        f"{n} {noun}{'' if n == 1 else 's'}"
        for n, noun in ((len(found.runs), "run"), (len(found.configurations), "configuration"))
    )
    heads, notes = [*found.names(), "seeds"], []
    labels = len(heads)
    for column in columns:
        twins = [c for c in columns if c.key == column.key]
        mark = "" if len(twins) == 1 else f" [{twins.index(column) + 1}]"
        if mark:
            shared = {k: v for k, v in column.protocol.items() if all(t.protocol.get(k) == v for t in twins)}
            own = {k: v for k, v in column.protocol.items() if k not in shared}
            notes.append(f"{column.key}{mark}: {protocol_text(own)}")
        about = column.about
        split = "" if about["split"] == "test" else f"{about['split']}/"
        own = "_".join(words(about["kind"], about["unit"], about["settings"]))
        heads.append(f"{split}{about['quantity']} {ARROWS[about['direction']]}\n{own}{mark}")
    bests = [column.best() for column in columns]
    lines: list[list[str]] = []
    for i in range(len(found.configurations)):
        values = [c.text(i) + (" *" if best == i else "") for c, best in zip(columns, bests, strict=True)]
        lines.append([*found.cells(i), str(found.rows.count(i)), *values])
    console.print(", ".join(counts), style="italic", highlight=False)
    for table in _tables(heads, lines, labels, console.width):
        console.print(table)
    for line in LEGEND:
        console.print(line, style="dim", highlight=False, soft_wrap=True)
    for note in notes:
        console.print(note.replace("[", r"\["), style="dim", highlight=False, soft_wrap=True)


def _tables(heads: list[str], lines: list[list[str]], labels: int, width: int) -> list[Table]:
    """As many tables as it takes for none to be wider than ``width``, each with the first ``labels`` columns."""
    widths = [max(map(len, (*head.split("\n"), *cells))) + 3 for head, *cells in zip(heads, *lines, strict=True)]
    parts: list[list[int]] = [[]]
    for i in range(labels, len(heads)):
        if parts[-1] and sum(widths[:labels]) + sum(widths[j] for j in parts[-1]) + widths[i] + 1 > width:
            parts.append([])
        parts[-1].append(i)
    tables = []
    for part in parts:
        shown = [*range(labels), *part]
        table = Table()
        for i in shown:
            table.add_column(heads[i], justify="left" if i < labels - 1 else "right", no_wrap=True)
        for cells in lines:
            table.add_row(*(bold(cells[i]) if cells[i].endswith("*") else cells[i] for i in shown))
        tables.append(table)
    return tables


def _customary(record: dict[str, Any]) -> bool:
    """False for the likelihood in the unit that is less usual for such data: usual are nats if they are binary, else bits/dim."""
    levels = record["protocol"].get("levels")
    return not (is_nll(record) and levels and record["unit"] == ("bits/dim" if levels == 2 else "nats"))
