"""How all plots look: one set of colours, told apart by the colour-blind, and one way of making a figure."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by the colour-blind (Okabe & Ito 2008)."""
MARKERS = "osD^vP*"
COLOUR_MAP = "cividis"
"""From dark to bright, read alike with and without colour vision (Nuñez et al. 2018)."""
DOT = " · "
"""Between the parts of a title."""

LETTER = 0.11
"""Inches that a letter of a title takes."""


@contextmanager
def style() -> Iterator[None]:
    """Inside the block figures are made and written in the style of all plots; a name in them is no formula."""
    from matplotlib import cycler, rc_context

    settings = {
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.titlesize": "medium",
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "legend.fontsize": "small",
        "figure.titlesize": "medium",
        "figure.titleweight": "bold",
        "text.parse_math": False,
    }
    with rc_context(settings):
        yield


def new_figure(width: float, height: float, title: str) -> "Figure":
    """An empty figure, in inches, whose parts make room for each other, with its title above."""
    from matplotlib.figure import Figure

    lines = broken(title, width / LETTER, len)
    figure = Figure(figsize=(width, height + 0.18 * (len(lines) - 1)), dpi=120, layout="constrained")
    figure.suptitle("\n".join(lines))
    return figure


def broken(title: str, width: float, length: Callable[[str], float]) -> list[str]:
    """A title in lines that are at most so wide, where its parts, with :data:`DOT` between them, allow that.

    Args:
        title: the title.
        width: of a line.
        length: of a text, in the unit of the width.
    """
    lines = [""]
    for part in title.split(DOT):
        longer = f"{lines[-1]}{DOT}{part}" if lines[-1] else part
        if not lines[-1] or length(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines
