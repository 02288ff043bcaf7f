"""Images as a grid in a white margin, with a title above it, a name above each column and beside each row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genexp.plot_style import broken

CELL = 64
"""Pixels that the side of a small image is enlarged to, by a whole factor."""
WIDEST = 1600
"""Pixels of a panel beyond which its images are not enlarged."""
MARGIN, GAP, LINE = 10, 24, 18
"""Pixels around all, between panels, and of a line of text."""
BLOCK_GAP = 8
"""Pixels between two blocks of rows."""
LONGEST = 150
"""Pixels of a name, which is cut then."""
FONT_SIZES = (12, 10)
"""Of names: the second where the first is too wide for a column; where that is too, they are written upwards."""
FRAME, SPACE = (150, 150, 150), 3
"""The line around an image, and pixels from one image to the next."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Images in rows of S.

    Attributes:
        x: ``(N, C, H, W)`` in [0, levels - 1], row by row, C = 1 or 3.
        width: S.
        columns: S names, or None.
        rows: names of the rows, or None.
        captions: a name for each image, above it, or None.
        name: of the panel, above it, or None.
        block: rows between which and the next there is a gap; None for none.
    """

    x: Tensor
    width: int
    columns: Sequence[str] | None = None
    rows: Sequence[str] | None = None
    captions: Sequence[str] | None = None
    name: str | None = None
    block: int | None = None


def write_grid(panels: Sequence[Panel], levels: int, title: str, path: Path) -> None:
    """Write panels side by side as a PNG. Pixels of the images are enlarged by a whole factor, never smoothed.

    Args:
        panels: with as many rows each.
        levels: number of levels.
        title: in parts with ``genexp.plot_style.DOT`` between them, where it may be broken.
        path: file to write.
    """
    drawn = [_panel(panel, levels) for panel in panels]
    # what stands above the images is as high in all panels, so that rows of one are beside those of the other
    above = max(top for _, top in drawn)
    inner = sum(image.width for image, _ in drawn) + GAP * (len(drawn) - 1)
    font = _font(13, bold=True)
    lines = broken(title, inner, font.getlength)
    width = max(inner, *(math.ceil(font.getlength(line)) for line in lines))
    top = MARGIN + LINE * len(lines)
    height = max(image.height + above - own for image, own in drawn)
    canvas = Image.new("RGB", (width + 2 * MARGIN, top + height + MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + LINE * i), line, "black", font)
    left = MARGIN
    for image, own in drawn:
        canvas.paste(image, (left, top + above - own))
        left += image.width + GAP
    canvas.save(path)


def _panel(panel: Panel, levels: int) -> tuple[Image.Image, int]:
    """A panel with its names, and how many pixels of it are above the images."""
    n, _, height, width = panel.x.shape
    zoom = max(1, min(round(CELL / width), WIDEST // (width * panel.width)))
    height, width = height * zoom, width * zoom
    rows = math.ceil(n / panel.width)
    caption = LINE - 2 if panel.captions else 0
    gap = BLOCK_GAP * ((rows - 1) // panel.block) if panel.block else 0
    body = (panel.width * (width + SPACE), rows * (height + SPACE + caption) + gap)
    names = [cut(name, _font(FONT_SIZES[0])) for name in panel.rows or ()]
    beside = max((math.ceil(_font(FONT_SIZES[0]).getlength(name)) for name in names), default=-8) + 8
    heads, above = _heads(panel.columns, width) if panel.columns else ([], 0)
    top = above + (LINE if panel.name else 0) + 4
    right = max((math.ceil(x + head.width) for x, head in heads), default=0)
    least = math.ceil(_font(12).getlength(panel.name or ""))
    canvas = Image.new("RGB", (beside + max(body[0], right, least), top + body[1]), "white")
    draw = ImageDraw.Draw(canvas)
    if panel.name:
        draw.text((beside, 0), panel.name, "black", _font(12))
    for x, head in heads:
        canvas.paste(head, (round(beside + x), top - 2 - head.height))
    pixels = (panel.x.cpu().double() / (levels - 1) * 255).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.repeat_interleave(zoom, -1).repeat_interleave(zoom, -2).expand(-1, 3, -1, -1)
    for i, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        row, column = divmod(i, panel.width)
        x = beside + column * (width + SPACE)
        y = top + row * (height + SPACE + caption) + caption + (BLOCK_GAP * (row // panel.block) if panel.block else 0)
        draw.rectangle((x, y, x + width + 1, y + height + 1), outline=FRAME)
        canvas.paste(Image.fromarray(image), (x + 1, y + 1))
        if panel.captions:
            text = cut(panel.captions[i], _font(FONT_SIZES[1]), width)
            draw.text((x + 1 + width / 2, y - 2), text, "black", _font(FONT_SIZES[1]), anchor="ms")
        if names and column == 0:
            draw.text((beside - 6, y + height / 2 + 1), names[row], "black", _font(FONT_SIZES[0]), anchor="rm")
    return canvas, top


def _heads(names: Sequence[str], width: int) -> tuple[list[tuple[float, Image.Image]], int]:
    """The names of columns of a width as pictures, each with its left edge; and their greatest height."""
    sizes = [size for size in FONT_SIZES if max(map(_font(size).getlength, names)) <= width - 2]
    font = _font(sizes[0] if sizes else FONT_SIZES[0])
    heads = []
    for i, name in enumerate(names):
        name = cut(name, font)
        head = Image.new("RGB", (max(1, math.ceil(font.getlength(name))), LINE - 2), "white")
        ImageDraw.Draw(head).text((0, LINE - 5), name, "black", font, anchor="ls")
        head = head if sizes else head.rotate(90, expand=True)
        heads.append((max(0.0, i * (width + SPACE) + 1 + (width - head.width) / 2), head))
    return heads, max(head.height for _, head in heads)


def cut(text: str, font: ImageFont.FreeTypeFont, longest: float = LONGEST) -> str:
    """A text that is at most so many pixels long, with an ellipsis where it was longer."""
    if font.getlength(text) <= longest:
        return text
    while text and font.getlength(f"{text}…") > longest:
        text = text[:-1]
    return f"{text}…"


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The one of matplotlib's plots, which has the letters of many scripts."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", name)), size)
