"""Complete: keep a part of examples and draw the rest from a trained run."""

import math
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from genexp.callbacks.grids import Panel, write_grid
from genexp.callbacks.pictures import are_images, label_names
from genexp.callbacks.sounds import sounds
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import Completion
from genexp.plot_style import DOT
from genexp.probability.quantize import unit
from genexp.record.errors import ConfigError
from genexp.runs.progress_bars import shown
from genexp.runs.sampling.files import check_options, labels_of, save
from genexp.runs.sampling.request import HALVES, Request


def part_of(shape: tuple[int, ...], part: str | float) -> Tensor:
    """What is kept of an example: bool ``(*shape)``.

    Args:
        shape: shape of an example.
        part: the top, bottom, left or right half of an image; or how much of the beginning of the sequence, which of images
            runs row by row, with all channels of a pixel.

    Raises:
        ConfigError: there is no such part, or it is nothing or everything.
    """
    is_image = len(shape) == 3
    if part in HALVES and not is_image:
        raise ConfigError(
            f"complete={part}: the examples of this run are no images, data.shape={list(shape)}; give a fraction of the "
            "sequence between 0 and 1, e.g. 0.5"
        )
    height, width = shape[1:] if is_image else (1, math.prod(shape))
    row, column = torch.arange(height)[:, None], torch.arange(width)[None]
    if part in HALVES:
        halves = {
            "top": row < height // 2,
            "bottom": row >= height // 2,
            "left": column < width // 2,
            "right": column >= width // 2,
        }
        kept = halves[part].expand(height, width)
    else:
        kept = row * width + column < round(part * height * width)
    if kept.all() or not kept.any():
        raise ConfigError(
            f"complete={part}: this is {'all' if kept.all() else 'none'} of an example, data.shape={list(shape)}; keep a "
            "part that is not"
        )
    return kept.expand(shape).clone() if is_image else kept.view(shape)


def examples(data: Any, split: str, n: int) -> tuple[Tensor, Tensor | None]:
    """The first ``n`` examples of a split, and their labels."""
    data.prepare_data()
    data.setup()
    if n > data.size(split):
        raise ConfigError(f"n={n}: the split {split} of {data.name} has {data.size(split):,} examples")
    parts, missing = [], n
    for x, y in data.loader(split, min(n, data.evaluation_batch_size)):
        parts.append((x[:missing], None if y is None else y[:missing]))
        missing -= len(parts[-1][0])
        if missing == 0:
            break
    xs, ys = zip(*parts, strict=True)
    return torch.cat(xs), None if ys[0] is None else torch.cat(ys)


def complete(
    request: Request, model: GenerativeModule, data: Any, title: str, output: Path, console: Console
) -> list[Path]:
    """Complete the first examples of a split.

    Args:
        request: of the verb.
        model: on the device to use.
        data: the run's.
        title: of the picture.
        output: where to write, without suffix: ``.npy`` the completions ``(n, draws, *shape)``, ``-examples.npy`` the
            examples ``(n, *shape)``, ``-labels.npy`` of a conditional model ``(n,)``; for images ``.png``, a row for each
            example: itself, what was kept (the rest grey), the completions; for sound, each example and then its
            completions as ``.wav`` and in ``.png``.
        console: for what there is to say.

    Returns:
        The files written.

    Raises:
        ConfigError: the family cannot complete, or the request does not fit the model or the data.
    """
    if not isinstance(model, Completion):
        raise ConfigError(
            f"complete={request.complete}: needs Completion, which {type(model).__name__} does not provide"
        )
    knobs = request.knobs
    check_options(model.complete, knobs, f"completion with {type(model).__name__}")
    given = part_of(model.shape, request.complete)
    x, own = examples(data, request.split, request.n)
    y = labels_of(model, own, request.y, request.n)
    if late := int(model.overlooked(given).sum()):
        console.print(
            f"  complete={request.complete}: {late:,} of the {int(given.sum()):,} dimensions kept come after missing ones in "
            "the order of the model: what is drawn before them does not look at them",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
    many = [None if t is None else t.repeat_interleave(request.draws, 0).to(model.device) for t in (x, y)]
    with shown(model, console):
        drawn = model.complete(many[0], given, many[1], **knobs).cpu()
    drawn = drawn.view(request.n, request.draws, *model.shape)
    arrays = {".npy": drawn, "-examples.npy": x, "-labels.npy": y}
    written = save(output, {suffix: array for suffix, array in arrays.items() if array is not None})
    title = DOT.join([title, f"completions of examples of the {request.split} split"])
    draws = [f"draw {i + 1}" for i in range(request.draws)]
    if data.sample_rate is not None:
        clips = torch.cat([x[:, None], drawn], dim=1).flatten(0, 1)
        clip_labels = None if y is None else y.repeat_interleave(1 + request.draws, 0)
        heads = ["example", *draws] * request.n
        written += sounds(clips, clip_labels, model.levels, data.sample_rate, output, title=title, rows=heads)
    elif are_images(model.shape, model.levels):
        path = output.with_name(output.name + ".png")
        grid, columns = rows(x, given, drawn, model.levels), ["example", "given", *draws]
        names = label_names(y, data.class_names)
        write_grid([Panel(x=grid, width=len(columns), columns=columns, rows=names)], 256, title, path)
        written.append(path)
    return written


def rows(x: Tensor, given: Tensor, drawn: Tensor, levels: int) -> Tensor:
    """A row for each example, one after another: itself, what was given with the rest grey, the completions.

    Args:
        x: images ``(N, C, H, W)``.
        given: bool ``(C, H, W)``.
        drawn: ``(N, K, C, H, W)``.
        levels: number of levels.

    Returns:
        uint8 ``(N * (2 + K), C, H, W)``, 256 levels.
    """
    grey = torch.full_like(x, 128)
    x, drawn = ((unit(part, levels) * 255).round().to(torch.uint8) for part in (x, drawn))
    return torch.cat([torch.stack([x, torch.where(given, x, grey)], dim=1), drawn], dim=1).flatten(0, 1)
