"""Plot of the bounds on -log p(x) of several runs against the number of draws."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genexp.plot_style import COLOURS, MARKERS, new_figure
from genexp.record.errors import ConfigError
from genexp.record.values import is_nll
from genexp.reports.comparison import Comparison
from genexp.reports.series import by_protocol, error_text


@dataclass
class Bounds:
    """Of one configuration under one protocol: by k, -bound in nats, and its error or None; ``exact`` where -log p(x) itself is
    known."""

    name: str
    values: dict[int, tuple[float, float | None]] = field(default_factory=dict)
    exact: tuple[float, float | None] | None = None

    def gaps(self) -> dict[int, float]:
        """How much tighter the bound of the largest k is, or the exact value where there is one, than each, in nats."""
        if not self.values:
            return {}
        tightest = self.values[max(self.values)][0] if self.exact is None else self.exact[0]
        return {k: value - tightest for k, (value, _) in sorted(self.values.items())}


def bounds_of(found: Comparison) -> list[Bounds]:
    """The negative log-likelihoods in nats, bounded by k draws or exact."""

    def wanted(record: dict[str, Any]) -> bool:
        return is_nll(record) and record["unit"] == "nats" and ("k" in record["settings"] or record["kind"] == "exact")

    lines: dict[tuple[int, str], Bounds] = {}
    for row, protocol, name, columns in by_protocol(found, wanted):
        line = lines[row, protocol] = Bounds(name)
        for column in columns:
            if column.about["kind"] == "exact":
                line.exact = column.mean(row)
            else:
                line.values[column.about["settings"]["k"]] = column.mean(row)
    return list(lines.values())


def plot_bounds(found: Comparison, path: Path, console: Console) -> None:
    lines = bounds_of(found)
    if not any(line.values for line in lines):
        raise ConfigError(
            "--plot bounds: no run has a value <split>/nll_bound_nats_k<k>; add some: "
            f"genexp evaluate run={found.runs[0].path} metrics=bound metrics.bound.ks=[1,10,100,1000]"
        )
    draw_bounds(lines, path, error_text(found))
    ks = sorted({k for line in lines for k in line.values})
    if len(ks) < 2:
        return
    table = Table(
        title="gap in nats, to the exact value where there is one, or else to the largest k", title_justify="left"
    )
    table.add_column(", ".join(found.names()), no_wrap=True)
    for k in ks:
        table.add_column(f"k={k:,}", justify="right")
    for line in lines:
        if gaps := line.gaps():
            table.add_row(line.name, *(f"{gaps[k]:z.2f}" if k in gaps else "-" for k in ks))
    console.print(table)


def draw_bounds(lines: Sequence[Bounds], path: Path, errors: str) -> None:
    """-bound against k, a line for each configuration; exact values are horizontal lines.

    Args:
        lines: what to draw, at least one with a value.
        path: the PNG.
        errors: what the error bars are.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = new_figure(8, 4.6, "Bounds on the likelihood against the number of draws")
    axes = figure.add_subplot(
        xlabel="k, draws of z for each example", ylabel="-log p(x) in nats: upper bounds, lower is better"
    )
    for i, line in enumerate(lines):
        style = {"color": COLOURS[i % len(COLOURS)]}
        if line.values:
            ks, values = zip(*sorted(line.values.items()), strict=True)
            means, spread = zip(*((mean, error or 0.0) for mean, error in values), strict=True)
            axes.errorbar(ks, means, spread, label=line.name, marker=MARKERS[i % len(MARKERS)], capsize=3, **style)
        if line.exact is not None:
            axes.axhline(line.exact[0], label=f"{line.name} (exact)", linestyle="--", **style)
    ks = sorted({k for line in lines for k in line.values})
    axes.set_xscale("log")
    axes.set_xticks(ks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside right upper", title=f"bars: {errors}", title_fontsize="small")
    figure.savefig(path)
