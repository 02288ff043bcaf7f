"""The long loops of a model as bars, where there is a terminal, and its notes as lines."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from genexp.families.base import GenerativeModule
from genexp.families.context import one
from genexp.terminal import harmless


@contextmanager
def shown(model: GenerativeModule, console: Console) -> Iterator[None]:
    """Inside the block a bar shows each loop that the model's context is told of, until it ends; notes are written between
    them. No other live display may run, unless the console is quiet.

    Args:
        model: its context is changed inside the block.
        console: where to show them; without a terminal there are the notes only, and where it is quiet nothing.
    """
    context = model.context
    before = context.track, context.doing, context.note
    context.note = lambda text: console.print(f"  {text}", style="dim", highlight=False, soft_wrap=True)
    try:
        if not console.is_terminal or console.quiet:
            yield
            return
        with Progress(console=console, transient=True) as bars:
            about = [""]

            def track(
                steps: Iterable[Any], what: str, total: int | None = None, size: Callable[[Any], int] = one
            ) -> Iterator[Any]:
                if total is None and hasattr(steps, "__len__"):
                    total = len(steps)
                bar = bars.add_task(escape(harmless(about[0] or what)), total=total)
                try:
                    for step in steps:
                        yield step
                        bars.advance(bar, size(step))
                finally:
                    bars.remove_task(bar)

            context.track, context.doing = track, lambda text: about.__setitem__(0, text)
            yield
    finally:
        context.track, context.doing, context.note = before
