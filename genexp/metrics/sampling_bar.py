"""A bar for long sampling, where there is a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from genexp.families.base import GenerativeModule, untracked


@contextmanager
def sampling_bar(model: GenerativeModule, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Inside the block one bar shows the present loop of the model's sampler; it disappears at the end. Without a terminal
    nothing is shown, nor where somebody else shows the model's loops. No other live display may run.

    Args:
        model: its ``track`` is set inside the block.
        console: where to show it; None for standard output.

    Yields:
        Called with a text, writes it before the bar in place of what the loop is called.
    """
    console = console or Console()
    if not console.is_terminal or model.track is not untracked:
        yield lambda text: None
        return
    with Progress(console=console, transient=True) as bar:
        task, told, before = bar.add_task("sampling", total=None), [], model.track

        def tell(text: str) -> None:
            told[:] = [text]
            bar.update(task, description=text)

        def track(steps: Iterable[int], what: str) -> Iterable[int]:
            bar.reset(task, total=None, description=told[0] if told else what)
            return bar.track(steps, task_id=task)

        model.track = track
        try:
            yield tell
        finally:
            model.track = before
