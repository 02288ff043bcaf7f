"""The examples of a split as metrics take them: a few at a time, with a bar where there is a terminal."""

import math
from collections.abc import Iterator
from typing import Any

from pytorch_lightning import LightningDataModule
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from genexp.families.base import GenerativeModule


def pieces(
    model: GenerativeModule, data: LightningDataModule, split: str, *, limit: int | None, at_once: int, what: str
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """The batches of a split, cut where they are larger than ``at_once``, on the device of the model.

    Args:
        model: says where to.
        data: set up.
        split: ``train``, ``validation`` or ``test``.
        limit: only the first so many examples; None for all.
        at_once: examples of a piece, at least 1; so few that the bar moves every few seconds.
        what: shown before the bar.

    Yields:
        The number of the piece, x ``(B, *shape)``, and y ``(B,)`` or None.
    """
    console = Console()
    missing = min(data.size(split), math.inf if limit is None else limit)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task, index = bar.add_task(f"{what}, {split}", total=missing), 0
        for batch_x, batch_y in data.loader(split):
            batch_x = batch_x[: int(missing)]
            missing -= len(batch_x)
            for start in range(0, len(batch_x), at_once):
                part = slice(start, min(start + at_once, len(batch_x)))
                x, y = (None if whole is None else whole[part].to(model.device) for whole in (batch_x, batch_y))
                yield index, x, y
                bar.advance(task, len(x))
                index += 1
            if missing <= 0:
                break


def mean(values: Tensor, scale: float = 1.0) -> dict[str, Any]:
    """``value``, the mean of ``(N,)`` times ``scale``; its standard error ``stderr``, None if N is 1; and ``n``."""
    n = len(values)
    stderr = values.std().item() / math.sqrt(n) * scale if n > 1 else None
    return {"value": values.mean().item() * scale, "stderr": stderr, "n": n}


def share(hits: Tensor) -> dict[str, Any]:
    """:func:`mean` of bool ``(N,)``; without the standard error where all or none are true, for its estimate is then 0."""
    found = mean(hits.double())
    return found | {"stderr": found["stderr"] or None}


def check_limit(limit: int | None) -> None:
    """Raises ValueError unless ``limit`` is None or at least 1."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}: must be at least 1, or null for all examples")
