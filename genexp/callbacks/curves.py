"""The history of a run as a picture."""

import csv
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from genexp.callbacks.hand_over import hand_over
from genexp.families.base import GenerativeModule
from genexp.plot_style import COLOURS, DOT, new_figure, style
from genexp.record.folder import RunFolder

NEAR = 0.5
"""How far beyond a panel's range a line may lie that is shown in it, as a share of the range."""
DECADES = 100
"""Largest over smallest value, both above 0, from which on the axis of a panel is logarithmic."""
PARTS = {"train": ("training", COLOURS[0], ""), "val": ("validation", COLOURS[1], ".")}
"""What is drawn of a history, by how a metric's name begins: what the legend calls it, its colour and its marker."""

Panels = dict[str, dict[str, dict[int, float]]]
"""By quantity and part, the value for so many images."""


class Curves(Callback):
    """Draws ``curves.png`` from ``metrics.csv`` when training ends, also when it fails, and hands it to the loggers.

    Args:
        folder: of the run.
        every_images: training images between two drawings while training goes on; looked at after each validation. None draws
            at the end only.
    """

    def __init__(self, folder: RunFolder, every_images: int | None = None) -> None:
        self.folder, self.path, self.every = folder, folder.path / "curves.png", every_images
        self._next = every_images or 0

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if self.every is not None and pl_module.images_seen >= self._next:
            self._next = (pl_module.images_seen // self.every + 1) * self.every
            self.on_fit_end(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if not trainer.is_global_zero:
            return
        title = DOT.join([self.folder.path.name, self.folder.title(trainer.datamodule.name)])
        about = {"title": title, "units": pl_module.units, "lines": pl_module.reference_lines}
        if draw_curves(self.folder.history, self.path, **about):
            hand_over(trainer, pl_module, "curves", self.path)

    def on_exception(self, trainer: Trainer, pl_module: GenerativeModule, exception: BaseException) -> None:
        try:
            self.on_fit_end(trainer, pl_module)
        except Exception as error:  # which must not hide the first one
            exception.add_note(f"{self.path}: {error}")


def draw_curves(
    history: Path, path: Path, *, title: str, units: Mapping[str, str], lines: Mapping[str, tuple[float, str]]
) -> bool:
    """One panel per quantity, training and validation together, against the images seen. The vertical range is that of what
    comes after the first tenth of the images, lest the steep beginning flattens all that follows. What never changed has no
    panel; a line below says what it was.

    Args:
        history: a run's ``metrics.csv``; of two rows for the same number of images the later one counts.
        path: file to write.
        title: above all.
        units: by quantity; the others are pure numbers.
        lines: by quantity, a value to compare it with and its label; drawn dashed where it is within or near the range.

    Returns:
        False, with nothing written, if there is nothing that changes, or training did not begin.
    """
    if not history.exists():
        return False
    panels, constant = _panels(history)
    if not panels:
        return False
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    with style():
        figure = new_figure(3.9 * columns + 1.4, 2.7 * rows + 0.4, title)
        handles: dict[str, Any] = {}
        for i, (quantity, parts) in enumerate(panels.items()):
            axes = figure.add_subplot(
                rows, columns, i + 1, title=quantity, xlabel="images seen", ylabel=units.get(quantity, "")
            )
            _draw(axes, parts, lines.get(quantity))
            drawn, names = axes.get_legend_handles_labels()
            handles |= {name: handle for name, handle in zip(names, drawn, strict=True) if name not in handles}
        if constant:
            figure.supxlabel(f"constant: {', '.join(constant)}", fontsize="small", x=0.01, ha="left")
        figure.legend(handles.values(), handles.keys(), loc="outside right upper")
        figure.savefig(path)
    return True


def _panels(history: Path) -> tuple[Panels, list[str]]:
    """What changes in a history; and of what does not, the value."""
    panels: Panels = defaultdict(lambda: defaultdict(dict))
    with open(history, newline="") as file:
        for row in csv.DictReader(file):
            part, _, quantity = row["metric"].partition("/")
            # not what other callbacks log, device by device
            if part in PARTS and math.isfinite(float(row["value"])):
                panels[quantity][part][int(row["images"])] = float(row["value"])
    values = {quantity: {v for own in parts.values() for v in own.values()} for quantity, parts in panels.items()}
    constant = [f"{quantity} {min(found):g}" for quantity, found in values.items() if len(found) == 1]
    return {quantity: parts for quantity, parts in panels.items() if len(values[quantity]) > 1}, constant


def _draw(axes: Any, parts: Mapping[str, Mapping[int, float]], line: tuple[float, str] | None) -> None:
    """The curves of one quantity, and the line that it is compared with."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for part, values in parts.items():
        label, colour, marker = PARTS[part]
        width = 1.5 if marker else 1.0
        points = zip(*sorted(values.items()), strict=True)
        axes.plot(*points, label=label, color=colour, marker=marker, linewidth=width)
    last = max(max(values) for values in parts.values())
    later = [v for values in parts.values() for images, v in values.items() if images >= last / 10]
    low, high = min(later), max(later)
    if line is not None:
        value, label = line
        near = NEAR * (high - low)
        if low - near <= value <= high + near:
            axes.axhline(value, label=label, linestyle="--", linewidth=1.0, color="black")
            low, high = min(low, value), max(high, value)
    if low > 0 and high / low >= DECADES:
        axes.set_yscale("log")
        axes.set_ylim(low * 0.8, high * 1.25)
    elif high > low:
        margin = 0.05 * (high - low)
        axes.set_ylim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
