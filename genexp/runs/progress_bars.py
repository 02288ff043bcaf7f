"""The long loops of a model: bars where there is a terminal, a line now and then elsewhere; and its notes as lines."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from genexp.families.base import GenerativeModule
from genexp.families.context import one
from genexp.terminal import harmless

EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def shown(model: GenerativeModule, console: Console) -> Iterator[None]:
    """Inside the block a bar shows each loop that the model's context is told of, until it ends, or, without a terminal, lines say
    how far it is every :data:`EVERY_S` seconds; notes are written between them. No other live display may run, unless the console
    is quiet.

    Args:
        model: its context is changed inside the block.
        console: where to show them; where it is quiet nothing.
    """
    context = model.context
    before = context.track, context.doing, context.note
    context.note = lambda text: console.print(f"  {text}", style="dim", highlight=False, soft_wrap=True)
    about = [""]
    context.doing = lambda text: about.__setitem__(0, text)
    try:
        if console.quiet:
            yield
        elif console.is_terminal:
            with Progress(console=console, transient=True) as bars:
                context.track = _in_bars(bars, about)
                yield
        else:
            context.track = _in_lines(console, about)
            yield
    finally:
        context.track, context.doing, context.note = before


def _sized(steps: Iterable[Any], total: int | None) -> int | None:
    return len(steps) if total is None and hasattr(steps, "__len__") else total


def _in_bars(bars: Progress, about: list[str]) -> Callable[..., Iterator[Any]]:
    def track(
        steps: Iterable[Any], what: str, total: int | None = None, size: Callable[[Any], int] = one
    ) -> Iterator[Any]:
        bar = bars.add_task(escape(harmless(about[0] or what)), total=_sized(steps, total))
        try:
            for step in steps:
                yield step
                bars.advance(bar, size(step))
        finally:
            bars.remove_task(bar)

    return track


def _in_lines(console: Console, about: list[str]) -> Callable[..., Iterator[Any]]:
    """Many short loops count as one long: the clock goes on between them."""
    last = [time.monotonic()]

    def track(
        steps: Iterable[Any], what: str, total: int | None = None, size: Callable[[Any], int] = one
    ) -> Iterator[Any]:
        total, done = _sized(steps, total), 0
        for step in steps:
            yield step
            done += size(step)
            if time.monotonic() - last[0] >= EVERY_S:
                last[0] = time.monotonic()
                of = "" if total is None else f" of {total:,}"
                line = f"  {harmless(about[0] or what)}: {done:,}{of}"
                console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)

    return track
