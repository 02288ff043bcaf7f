"""Plot of several runs in the plane of rate and distortion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.plot_style import COLOURS, new_figure
from genexp.record.errors import ConfigError
from genexp.reports.comparison import Comparison
from genexp.reports.series import by_protocol, error_text


@dataclass
class RatePoint:
    """Rate E KL(q(z|x) || p(z)) and distortion -E log p(x|z) of one configuration in nats, each with its error or None."""

    name: str
    rate: tuple[float, float | None]
    distortion: tuple[float, float | None]


def rate_points(found: Comparison) -> list[RatePoint]:
    """Rate and distortion of a configuration, where it has both."""
    points = []
    for row, _, name, columns in by_protocol(found, lambda record: record["quantity"] in ("rate", "distortion")):
        values = {column.about["quantity"]: column.mean(row) for column in columns}
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


def plot_rates(found: Comparison, path: Path, console: Console) -> None:
    points = rate_points(found)
    if not points:
        raise ConfigError(
            "--plot rate_distortion: no run has values <split>/rate_nats and <split>/distortion_nats; add them: "
            f"genexp evaluate run={found.runs[0].path} metrics=latents"
        )
    draw_rates(points, path, error_text(found))


def draw_rates(points: Sequence[RatePoint], path: Path, errors: str) -> None:
    """Distortion against rate with the lower envelope, over lines of constant ELBO.

    Args:
        points: what to draw, at least one.
        path: the PNG.
        errors: what the error bars are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(8.6, 5.2, "Rate and distortion")
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
    axes.grid(False)
    figure.legend(loc="outside right upper")
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
