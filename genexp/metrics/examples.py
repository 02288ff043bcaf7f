"""The examples of a split as metrics take them: a few at a time."""

import math
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.ranges import at_least


def selected(
    data: LightningDataModule, split: str, *, limit: int | None, seed: int, at_once: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """x ``(B, *shape)`` and y ``(B,)`` or None of a split, at most ``at_once`` at a time.

    Args:
        data: set up.
        split: ``train``, ``validation`` or ``test``.
        limit: only so many examples, which the seed chooses, for a split may be sorted; None for all, in their order.
        seed: of the choice.
        at_once: at least 1; the batches of the split are cut where they are larger.
    """
    few = limit is not None and limit < data.size(split)
    for x, y in [data.examples(split, limit, seed)] if few else data.loader(split):
        yield from zip(x.split(at_once), repeat(None) if y is None else y.split(at_once), strict=False)


def pieces(
    model: GenerativeModule,
    data: LightningDataModule,
    split: str,
    *,
    limit: int | None,
    seed: int,
    at_once: int,
    what: str,
) -> Iterator[tuple[int, Tensor, Tensor | None]]:
    """The examples of :func:`selected`, on the device of the model.

    Args:
        model: says where to; its context shows how far the pieces are.
        data, split, limit, seed: see :func:`selected`.
        at_once: examples of a piece, at least 1; so few that the bar moves every few seconds.
        what: shown beside them.

    Yields:
        The number of the piece, x ``(B, *shape)``, and y ``(B,)`` or None.
    """
    examples = selected(data, split, limit=limit, seed=seed, at_once=at_once)
    total = data.size(split) if limit is None else min(limit, data.size(split))
    tracked = model.track(examples, f"{what}, {split}", total=total, size=lambda piece: len(piece[0]))
    for index, (x, y) in enumerate(tracked):
        yield index, x.to(model.device), None if y is None else y.to(model.device)


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
    if limit is not None:
        at_least(1, limit=limit, hint=", or null for all examples")
