"""Samples as pictures."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor


def picture(x: Tensor, levels: int | None, path: Path, columns: int | None = None) -> bool:
    """Write samples as a PNG: images as a grid, points of the plane as a scatter plot.

    Args:
        x: ``(N, C, H, W)`` levels with C = 1 or 3, or ``(N, 2)`` reals.
        levels: number of levels; None for reals.
        path: file to write.
        columns: images in a row; None for a square grid.

    Returns:
        False, with nothing written, if the data have no picture (e.g. binary vectors).
    """
    if are_images(x.shape[1:], levels):
        _grid(x, levels, columns or math.ceil(math.sqrt(len(x)))).save(path)
        return True
    if x.ndim == 2 and x.shape[1] == 2 and levels is None:
        _scatter(x, path)
        return True
    return False


def are_images(shape: Sequence[int], levels: int | None) -> bool:
    """Whether examples of this shape, with so many levels, are grey or colour images."""
    return levels is not None and len(shape) == 3 and shape[0] in (1, 3)


def labelled_grid(
    x: Tensor, levels: int, path: Path, columns: Sequence[str], rows: Sequence[str] | None = None
) -> None:
    """Write images as a grid in a white margin with the name of each column above it and of each row beside it.

    Args:
        x: ``(R * S, C, H, W)`` in [0, levels - 1], row by row, C = 1 or 3.
        levels: number of levels.
        path: file to write.
        columns: S names.
        rows: R names; None for none.
    """
    grid = _grid(x, levels, len(columns)).convert("RGB")
    font = ImageFont.load_default(size=12)
    left = max(math.ceil(font.getlength(name)) for name in rows) + 12 if rows else 0
    canvas = Image.new("RGB", (left + grid.width, 20 + grid.height), "white")
    canvas.paste(grid, (left, 20))
    draw = ImageDraw.Draw(canvas)
    width, height = (grid.width - 1) / len(columns), (grid.height - 1) / (len(x) // len(columns))
    for i, name in enumerate(columns):
        draw.text((left + (i + 0.5) * width, 17), name, "black", font, anchor="ms")
    for i, name in enumerate(rows or ()):
        draw.text((left - 6, 20 + (i + 0.5) * height), name, "black", font, anchor="rm")
    canvas.save(path)


def _grid(x: Tensor, levels: int, columns: int) -> Image.Image:
    """Tile with a border of one pixel, small images enlarged by whole factors."""
    pixels = (x.cpu().double() / (levels - 1) * 255).round().to(torch.uint8)
    zoom = max(1, 56 // pixels.shape[-1])
    pixels = pixels.repeat_interleave(zoom, -1).repeat_interleave(zoom, -2)
    n, channels, height, width = pixels.shape
    rows = math.ceil(n / columns)
    canvas = torch.full((channels, rows * (height + 1) + 1, columns * (width + 1) + 1), 96, dtype=torch.uint8)
    for i in range(n):
        top, left = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        canvas[:, top : top + height, left : left + width] = pixels[i]
    array = canvas.permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if channels == 1 else array)


def _scatter(x: Tensor, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=100)
    axes = figure.add_subplot()
    axes.scatter(*x.cpu().T.numpy(), s=2, alpha=0.5)
    axes.set_aspect("equal")
    figure.savefig(path, bbox_inches="tight")
