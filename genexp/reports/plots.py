"""Plots of several runs, from the values in their folders."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from genexp.record.errors import ConfigError, check_choice
from genexp.reports.bounds import plot_bounds
from genexp.reports.comparison import gather
from genexp.reports.rate_distortion import plot_rates

PLOTS = {"bounds": plot_bounds, "rate_distortion": plot_rates}


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
    from matplotlib import rc_context

    check_choice("--plot", what, list(PLOTS))
    if not (path := Path(output or Path(paths[0]) / f"{what}.png")).parent.is_dir():
        raise ConfigError(f"--output {path}: {path.parent} is not a folder")
    with rc_context({"text.parse_math": False}):  # names are no formulas, whatever they hold
        PLOTS[what](gather(paths, console), path, console)
    console.print(f"  wrote {path}", highlight=False, soft_wrap=True)
