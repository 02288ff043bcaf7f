"""Samples as pictures."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genexp.callbacks.grids import Panel, write_grid
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ConditionalMeans
from genexp.plot_style import COLOURS, DOT, new_figure, style

MOST = 400
"""Images in a picture of samples."""
HEADED = 20
"""Labels, at most, that have a column each."""


def are_images(shape: Sequence[int], levels: int | None) -> bool:
    """Whether examples of this shape, with so many levels, are grey or colour images."""
    return levels is not None and len(shape) == 3 and shape[0] in (1, 3)


def are_points(shape: Sequence[int], levels: int | None) -> bool:
    """Whether examples of this shape, with so many levels, are points of the plane."""
    return levels is None and tuple(shape) == (2,)


def seen(images_seen: int, data: Any) -> str:
    """How many training examples a model had seen, in words: images, clips or examples."""
    sounds = data.sample_rate is not None
    what = "clips" if sounds else "images" if are_images(data.shape, data.levels) else "examples"
    return f"{images_seen:,} {what} seen"


def label_names(y: Tensor | None, names: Sequence[str] | None) -> list[str] | None:
    """The names of labels ``(N,)``: those of the classes where these have names, else their numbers; None without labels."""
    return None if y is None else [names[label] if names else str(label) for label in y.tolist()]


@torch.no_grad()
def conditional_means(model: GenerativeModule, n: int, y: Tensor | None, **knobs: Any) -> tuple[Tensor, Tensor | None]:
    """``n`` samples of a model, and the means of p(x | z) of the same z where the family has them and the samples are more than
    these means rounded; else None. Arguments as of :meth:`genexp.families.base.GenerativeModule.sample`."""
    if not isinstance(model, ConditionalMeans) or model.unfit(ConditionalMeans) or model.levels is None:
        return model.sample(n, y, **knobs), None
    x, means = model.sample_by(model.draw_with_means, n, y, **knobs)
    return x, means if (x - means).abs().max() > 0.5 else None


def picture(
    x: Tensor,
    levels: int | None,
    path: Path,
    *,
    title: str,
    labels: Sequence[str] | None = None,
    means: Tensor | None = None,
    total: int | None = None,
) -> bool:
    """Write samples as a PNG: images as a grid, points of the plane as a scatter plot.

    Labels that recur in the same order are a column each, with their names above; one label of all samples is in the title;
    others stand above each image.

    Args:
        x: ``(N, C, H, W)`` levels with C = 1 or 3, or ``(N, 2)`` reals.
        levels: number of levels; None for reals.
        path: file to write.
        title: above all.
        labels: a name for each sample; None without labels.
        means: of p(x | z) for the same z, like ``x``, to stand beside the samples; None for none.
        total: number of samples of which these are the first; None if they are all.

    Returns:
        False, with nothing written, if the data have no picture (e.g. binary vectors).
    """
    if labels and len(set(labels)) == 1 and len(labels) > 1:
        title, labels = f"{title}{DOT}label {labels[0]}", None
    n = min(len(x), MOST) if are_images(x.shape[1:], levels) else len(x)
    if (total or len(x)) > n:
        title = f"{title}{DOT}the first {n:,} of {total or len(x):,}"
    if are_points(x.shape[1:], levels):
        _scatter([x], [""], title, path)
        return True
    if not are_images(x.shape[1:], levels):
        return False
    x, labels, means = x[:n], labels and labels[:n], means if means is None else means[:n]
    width, named = _columns(len(x), labels)
    panels = [Panel(x=x, width=width, name=None if means is None else "samples", **named)]
    if means is not None:
        panels.append(Panel(x=means, width=width, name="means of p(x|z), of the same z", **named))
    write_grid(panels, levels, title, path)
    return True


def _columns(n: int, labels: Sequence[str] | None) -> tuple[int, dict[str, Sequence[str]]]:
    """How many samples a row has, and where the labels go."""
    square = math.ceil(math.sqrt(n))
    if labels is None:
        return square, {}
    period = len(set(labels))
    if 1 < period <= HEADED and all(label == labels[i % period] for i, label in enumerate(labels)):
        width = period * max(1, round(square / period))
        return width, {"columns": labels[:width]}
    return square, {"captions": labels}


def over_time(
    rows: dict[int, Tensor], levels: int | None, path: Path, *, title: str, labels: Sequence[str] | None
) -> bool:
    """Write samples that come from the same random draws at several times of a training: a row for each time, or a panel of
    points of the plane.

    Args:
        rows: ``(S, *shape)`` by the training images that the model had seen.
        levels: number of levels; None for reals.
        path: file to write.
        title: above all.
        labels: S names; None without labels.

    Returns:
        False, with nothing written, if the data have no picture.
    """
    times = sorted(rows)
    heads, xs = [f"{images:,} seen" for images in times], [rows[images] for images in times]
    if are_points(xs[0].shape[1:], levels):
        _scatter(xs, heads, title, path)
        return True
    if not are_images(xs[0].shape[1:], levels):
        return False
    write_grid([Panel(x=torch.cat(xs), width=len(xs[0]), columns=labels, rows=heads)], levels, title, path)
    return True


def _scatter(xs: Sequence[Tensor], names: Sequence[str], title: str, path: Path) -> None:
    """Points of the plane, a panel for each time, of which all have the range of the last."""
    columns = min(len(xs), 4)
    rows = math.ceil(len(xs) / columns)
    with style():
        figure = new_figure(max(4.6, 3.2 * columns), 0.4 + (4 if len(xs) == 1 else 3.2) * rows, title)
        xs = [x.cpu()[torch.isfinite(x.cpu()).all(1)] for x in xs]
        last = xs[-1] if len(xs[-1]) else torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
        low, high = last.min(0).values, last.max(0).values
        margin = 0.05 * (high - low).max().clamp(min=1e-6)
        xlim, ylim = torch.stack([low - margin, high + margin], dim=1).tolist()
        for i, (x, name) in enumerate(zip(xs, names, strict=True)):
            axes = figure.add_subplot(rows, columns, i + 1, title=name, xlabel="x₁", ylabel="x₂")
            axes.scatter(*x.T.numpy(), s=4 if len(x) > 500 else 12, alpha=0.5, linewidths=0, color=COLOURS[0])
            axes.set_aspect("equal")
            axes.set(xlim=xlim, ylim=ylim)
        figure.savefig(path)
