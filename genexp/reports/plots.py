"""Plots of several runs, from the values in their folders."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from genexp.plot_style import style
from genexp.record.errors import ConfigError, check_choice
from genexp.reports.bounds import plot_bounds
from genexp.reports.comparison import find_runs, gather
from genexp.reports.output import check_output, writing
from genexp.reports.rate_distortion import plot_rates

PLOTS = {"bounds": plot_bounds, "rate_distortion": plot_rates}
FORMATS = (".png", ".pdf", ".svg", ".jpg")


def plot(paths: Sequence[str], what: str, output: str | None, console: Console) -> None:
    """The verb ``genexp compare --plot``: draw, and print what the plot does not show.

    Args:
        paths: run folders, or folders that hold some.
        what: ``bounds`` or ``rate_distortion``.
        output: the PNG; None for ``<first folder>/<what>.png``.
        console: where to write.

    Raises:
        ConfigError: there is no such plot, the runs have no such values, or the file cannot be written.
    """
    check_choice("--plot", what, list(PLOTS))
    find_runs(paths)  # a folder that is none is told before the plot that would go there
    path = check_output("--output", Path(paths[0]) / f"{what}.png" if output is None else output)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--output {path}: its name must end in one of {', '.join(FORMATS)}")
    with writing("--output", path), style():
        PLOTS[what](gather(paths, console), path, console)
    console.print(f"  wrote {path}", highlight=False, soft_wrap=True)
