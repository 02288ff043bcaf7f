"""The history of a run as a picture."""

import csv
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pytorch_lightning import Callback, Trainer

from genexp.callbacks.hand_over import hand_over
from genexp.families.base import GenerativeModule

NEAR = 0.5
"""How far beyond a panel's range a line may lie that is shown in it, as a share of the range."""


class Curves(Callback):
    """Draws ``curves.png`` from ``metrics.csv`` when training ends, also when it fails, and hands it to the loggers.

    Args:
        history: the CSV.
        path: the PNG.
    """

    def __init__(self, history: Path, path: Path) -> None:
        self.history, self.path = history, path

    def on_fit_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if trainer.is_global_zero and draw_curves(self.history, self.path, pl_module.reference_lines):
            hand_over(trainer, pl_module, "curves", self.path)

    def on_exception(self, trainer: Trainer, pl_module: GenerativeModule, exception: BaseException) -> None:
        try:
            self.on_fit_end(trainer, pl_module)
        except Exception as error:  # which must not hide the first one
            exception.add_note(f"{self.path}: {error}")


def draw_curves(history: Path, path: Path, lines: Mapping[str, tuple[float, str]]) -> bool:
    """One panel per quantity, training and validation together, against the images seen. The vertical range is that of what
    comes after the first tenth of the images, lest the steep beginning flattens all that follows.

    Args:
        history: a run's ``metrics.csv``; of two rows for the same number of images the later one counts.
        path: file to write.
        lines: by quantity, a value to compare it with and its label; drawn dashed where it is within or near the range.

    Returns:
        False, with nothing written, if no finite value was logged, or training did not begin.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    if not history.exists():
        return False
    panels: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    with open(history, newline="") as file:
        for row in csv.DictReader(file):
            part, _, quantity = row["metric"].partition("/")
            if math.isfinite(float(row["value"])):
                panels[quantity][part][int(row["images"])] = float(row["value"])
    if not panels:
        return False
    columns = math.ceil(math.sqrt(len(panels)))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), dpi=100, layout="constrained")
    for i, (quantity, parts) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, i + 1, title=quantity, xlabel="images")
        for part, values in parts.items():
            marker, width = (".", 1.5) if part == "val" else ("", 1.0)
            axes.plot(*zip(*sorted(values.items()), strict=True), label=part, marker=marker, linewidth=width)
        last = max(max(values) for values in parts.values())
        later = [v for values in parts.values() for images, v in values.items() if images >= last / 10]
        low, high = min(later), max(later)
        if quantity in lines:
            value, label = lines[quantity]
            near = NEAR * (high - low)
            if low - near <= value <= high + near:
                axes.axhline(value, label=label, linestyle="--", linewidth=1.0, color="black")
                low, high = min(low, value), max(high, value)
        margin = 0.05 * (high - low)
        if margin > 0:
            axes.set_ylim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)
    return True
