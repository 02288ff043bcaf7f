"""Plots of several runs, from the values in their folders: bounds against the number of draws, and the rate-distortion plane."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genexp.record.errors import ConfigError, check_choice
from genexp.reports.comparison import Column, Comparison, gather, make_columns

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by the colour-blind (Okabe & Ito 2008)."""
MARKERS = "osD^vP*"
NLL = re.compile(r"(?P<split>[a-z]+)/nll(_bound_nats_k(?P<k>\d+)|_nats)")
"""Keys of -log p(x) in nats: ``k`` of a bound, None of an exact value."""


def plot(paths: Sequence[str], what: str, output: str | None, console: Console) -> None:
    """The verb ``genexp compare --plot``: draw, and print what the plot does not show.

    Args:
        paths: run folders, or folders that hold some.
        what: ``bounds`` or ``rate_distortion``.
        output: the PNG; None for ``<first folder>/<what>.png``.
        console: where to write.

    Raises:
        ConfigError: there is no such plot, or the runs have no such values.
    """
    check_choice("--plot", what, list(PLOTS))
    if not (path := Path(output or Path(paths[0]) / f"{what}.png")).parent.is_dir():
        raise ConfigError(f"--output {path}: {path.parent} is not a folder")
    PLOTS[what](gather(paths, console), path, console)
    console.print(f"  wrote {path}", highlight=False, soft_wrap=True)


# --- bounds -----------------------------------------------------------------------------------------------------


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
    """The values ``<split>/nll_bound_nats_k<k>`` and ``<split>/nll_nats``."""
    lines: dict[tuple[int, str], Bounds] = {}
    for row, protocol, name, columns in _by_protocol(found, NLL):
        line = lines[row, protocol] = Bounds(name)
        for column in columns:
            k = NLL.fullmatch(column.key)["k"]
            if k is None:
                line.exact = column.mean(row)
            else:
                line.values[int(k)] = column.mean(row)
    return list(lines.values())


def _plot_bounds(found: Comparison, path: Path, console: Console) -> None:
    lines = bounds_of(found)
    if not any(line.values for line in lines):
        raise ConfigError(
            "--plot bounds: no run has a value <split>/nll_bound_nats_k<k>; add some: "
            f"genexp evaluate run={found.runs[0].path} metrics=bound metrics.bound.ks=[1,10,100,1000]"
        )
    draw_bounds(lines, path, _error_text(found))
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
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = Figure(figsize=(8, 4.6), dpi=120, layout="constrained")
    axes = figure.add_subplot(
        xlabel="k, draws of z for each example", ylabel="-log p(x), nats: upper bounds, lower is better"
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
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", title=f"bars: {errors}", title_fontsize="small", fontsize="small")
    figure.savefig(path)


# --- rate and distortion ----------------------------------------------------------------------------------------


@dataclass
class RatePoint:
    """Rate E KL(q(z|x) || p(z)) and distortion -E log p(x|z) of one configuration in nats, each with its error or None."""

    name: str
    rate: tuple[float, float | None]
    distortion: tuple[float, float | None]


def rate_points(found: Comparison) -> list[RatePoint]:
    """The values ``<split>/rate_nats`` and ``<split>/distortion_nats``, where a configuration has both."""
    pattern = re.compile(r"[a-z]+/(?P<what>rate|distortion)_nats")
    points = []
    for row, _, name, columns in _by_protocol(found, pattern):
        values = {pattern.fullmatch(column.key)["what"]: column.mean(row) for column in columns}
        if len(values) == 2:
            points.append(RatePoint(name, **values))
    return points


def lower_envelope(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which points are the corners of the convex curve below all of them, from the smallest rate to the smallest distortion:
    with a coin that chooses between two of the models for each x, what lies on the line between them is reached too.

    Args:
        points: rate and distortion of each.

    Returns:
        Their numbers, by rising rate.
    """
    hull: list[int] = []
    for i in sorted(range(len(points)), key=points.__getitem__):
        while len(hull) > 1:
            (r0, d0), (r1, d1), (r2, d2) = (points[j] for j in (*hull[-2:], i))
            if (r1 - r0) * (d2 - d0) > (d1 - d0) * (r2 - r0):
                break
            hull.pop()
        hull.append(i)
    return hull[: hull.index(min(hull, key=lambda i: points[i][::-1])) + 1]


def _plot_rates(found: Comparison, path: Path, console: Console) -> None:
    points = rate_points(found)
    if not points:
        raise ConfigError(
            "--plot rate_distortion: no run has values <split>/rate_nats and <split>/distortion_nats; add them: "
            f"genexp evaluate run={found.runs[0].path} metrics=latents"
        )
    draw_rates(points, path, _error_text(found))


def draw_rates(points: Sequence[RatePoint], path: Path, errors: str) -> None:
    """Distortion against rate with the lower envelope, over lines of constant ELBO.

    Args:
        points: what to draw, at least one.
        path: the PNG.
        errors: what the error bars are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.6, 5.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # can measure text
    axes = figure.add_subplot(xlabel="rate KL(q(z|x) || p(z)), nats", ylabel="distortion -E log p(x|z), nats")
    rates, distortions = [p.rate[0] for p in points], [p.distortion[0] for p in points]
    x, y = (_padded(values) for values in (rates, distortions))
    for total in MaxNLocator(9).tick_values(x[0] + y[0], x[1] + y[1]):
        axes.plot(x, [total - rate for rate in x], color="0.8", linewidth=0.8, zorder=0)
        at = (total - y[0], y[0]) if x[0] < total - y[0] < x[1] else (x[1], total - x[1])
        if y[0] <= at[1] < y[1] - 0.15 * (y[1] - y[0]) and at[0] > x[0]:
            axes.annotate(
                f"{total:g}", at, xytext=(-3, 3), textcoords="offset points", ha="right", color="0.5", fontsize=7
            )
    envelope = lower_envelope(list(zip(rates, distortions, strict=True)))
    axes.plot(
        [rates[i] for i in envelope], [distortions[i] for i in envelope], color=COLOURS[0], label="lower envelope"
    )
    axes.errorbar(
        rates,
        distortions,
        [p.distortion[1] or 0.0 for p in points],
        [p.rate[1] or 0.0 for p in points],
        fmt="o",
        color=COLOURS[1],
        capsize=2,
        label=f"model, bars: {errors}",
    )
    axes.plot([], [], color="0.8", linewidth=0.8, label="constant -ELBO = rate + distortion, nats")
    axes.set(xlim=x, ylim=y)
    axes.legend(loc="upper right", fontsize="small", framealpha=1)
    _name_points(figure, axes, points)
    figure.savefig(path)


def _name_points(figure: Any, axes: Any, points: Sequence[RatePoint]) -> None:
    """Write each name to the upper right of its point, or at the right edge to the lower left, which a falling convex curve
    leaves free; further away where another name is."""
    renderer = figure.canvas.get_renderer()
    figure.draw_without_rendering()
    left, right = axes.get_xlim()
    placed: list[Any] = []
    for point in sorted(points, key=lambda p: p.distortion[0]):
        at = (point.rate[0], point.distortion[0])
        side = -1 if at[0] > left + 0.75 * (right - left) else 1
        align = {"ha": "right", "va": "top"} if side < 0 else {"ha": "left", "va": "bottom"}
        text = axes.annotate(
            point.name, at, xytext=(6 * side, 5 * side), textcoords="offset points", fontsize=8, **align
        )
        for _ in range(100):
            if not any(text.get_window_extent(renderer).overlaps(other) for other in placed):
                break
            text.xyann = (text.xyann[0], text.xyann[1] + 4 * side)
        placed.append(text.get_window_extent(renderer))


def _padded(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis with room for names."""
    span = (max(values) - min(values)) or max(1.0, 0.1 * abs(values[0]))
    return min(values) - 0.08 * span, max(values) + 0.12 * span


# --- both -------------------------------------------------------------------------------------------------------


def _by_protocol(found: Comparison, pattern: re.Pattern[str]) -> Iterator[tuple[int, str, str, list[Column]]]:
    """The columns whose keys match, of each configuration and protocol: its number, the protocol, a name, the columns."""
    groups: dict[str, list[Column]] = defaultdict(list)
    for column in make_columns(found.runs, found.rows, lambda record: pattern.fullmatch(record["key"]) is not None):
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


def _error_text(found: Comparison) -> str:
    seeds = len(found.rows) > len(found.configurations)
    return "standard deviation over seeds" if seeds else "standard error"


PLOTS = {"bounds": _plot_bounds, "rate_distortion": _plot_rates}
