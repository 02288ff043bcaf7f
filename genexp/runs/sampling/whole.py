"""Whole examples, drawn batch by batch and written as they come."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from genexp.callbacks.pictures import MOST, conditional_means, label_names, picture
from genexp.callbacks.sounds import sounds
from genexp.families.base import GenerativeModule
from genexp.runs.progress_bars import shown
from genexp.runs.sampling.files import check_options
from genexp.runs.sampling.formats import FORMATS
from genexp.runs.sampling.nearest_examples import neighbours
from genexp.runs.sampling.request import Request


def draw_whole(
    request: Request,
    model: GenerativeModule,
    data: Any,
    title: str,
    output: Path,
    console: Console,
) -> list[Path]:
    """Draw whole examples, in batches, and write them; see :mod:`genexp.runs.sampling.formats`. With ``npy`` there are also a
    picture, and of sound clips, of the first :data:`genexp.callbacks.pictures.MOST` of them.

    Args:
        request: of the verb.
        model: on the device to use.
        data: the run's.
        title: of the picture.
        output: where to write, without suffix.
        console: for progress.

    Returns:
        The files written.

    Raises:
        ConfigError: options or labels that the model does not have.
    """
    check_options(model.draw, request.knobs, f"the sampler of {type(model).__name__}")
    n, labels = request.n, _labels(request, model)
    writer = FORMATS[request.format](output, n, model.levels, data.sample_rate)
    kept: list[tuple[Tensor, Tensor | None]] = []
    with shown(model, console):
        batches = range(0, n, request.batch_size)
        told = model.track(batches, "samples drawn", total=n, size=lambda start: min(request.batch_size, n - start))
        for start in told if len(batches) > 1 else batches:
            end = min(start + request.batch_size, n)
            y = labels[start:end] if isinstance(labels, Tensor) else labels
            x, means = conditional_means(model, end - start, y, **request.knobs)
            x, means = x.cpu(), None if means is None else means.cpu()
            writer.add(x)
            if request.neighbours is not None or (request.format == "npy" and start < MOST):
                kept.append((x, means))
    written = writer.close(labels)
    if not kept:
        return written
    x = torch.cat([part for part, _ in kept])
    means = None if any(m is None for _, m in kept) else torch.cat([m for _, m in kept])
    if request.neighbours is not None:
        return written + neighbours(x, data, request.neighbours, output, console, title=title)
    first = None if labels is None else labels[: len(x)]
    if data.sample_rate is not None:
        x, first = x[:MOST], None if first is None else first[:MOST]
        return written + sounds(x, first, model.levels, data.sample_rate, output, title=title, names=data.class_names)
    path = output.with_name(f"{output.name}.png")
    more = {"labels": label_names(first, data.class_names), "means": means, "total": n}
    return [*written, path] if picture(x, model.levels, path, title=title, **more) else written


def _labels(request: Request, model: GenerativeModule) -> Any:
    """Labels ``(n,)`` of a conditional model, all in turn unless the request says which; else what the request has, which the
    model refuses."""
    if not model.conditional:
        return request.y
    if request.y is None:
        return torch.arange(request.n) % model.num_classes
    return torch.as_tensor(request.y).expand(request.n)
