"""Latent: decode chosen points of a trained run's latent space."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from genexp.callbacks.latent_tables import (
    LatentTable,
    interpolations,
    prior_interpolations,
    reconstructions,
    symmetric_values,
    traversals,
    usage,
)
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LatentDecoder, LatentVariables
from genexp.plot_style import DOT
from genexp.probability.latent.interpolation import linear, slerp
from genexp.record.errors import ConfigError
from genexp.runs.sampling.files import check_options, labels_of, save
from genexp.runs.sampling.request import Request

INTERPOLATIONS = {"slerp": slerp, "linear": linear}
TITLES = {"interpolate": "interpolations", "traverse": "traversals", "reconstruct": "reconstructions"}
PRIOR_DRAWS = 10_000
"""For the mean of a prior."""


@torch.no_grad()
def latent(
    request: Request,
    model: GenerativeModule,
    data: Any,
    title: str,
    output: Path,
    console: Console,
) -> list[Path]:
    """Decode points of the latent space that belong to examples of a split, chosen by the seed.

    Args:
        request: of the verb.
        model: on the device to use, in evaluation mode.
        data: the run's.
        title: of the picture.
        output: where to write, without suffix: ``.npy`` what was decoded ``(R, S, *shape)``, ``-latents.npy`` the points
            ``(R, S, latent_dim)``, and for images ``.png``.
        console: for what there is to say.

    Returns:
        The files written.

    Raises:
        ConfigError: the family has no latent variables, or the request does not fit the model or the data.
    """
    needed = LatentDecoder if request.latent == "interpolate" else LatentVariables
    if not isinstance(model, needed):
        raise ConfigError(
            f"latent={request.latent}: needs {needed.__name__}, which {type(model).__name__} does not provide"
        )
    check_options(model.decode, request.knobs, f"latent={request.latent}: decoding with {type(model).__name__}")
    data.prepare_data()
    data.setup()
    table = WAYS[request.latent](request, model, data, console)
    written = save(output, {".npy": table.decoded, "-latents.npy": table.z})
    path = output.with_name(output.name + ".png")
    title = DOT.join([title, f"{TITLES[request.latent]} of the {request.split} split"])
    if table.write(model.levels, path, title=title, names=data.class_names):
        written.append(path)
    return written


def _examples(request: Request, model: GenerativeModule, data: Any, n: int) -> tuple[Tensor, Tensor | None]:
    """``n`` examples, chosen by the seed, on the model's device, and their labels for a conditional model."""
    if n > data.size(request.split):
        raise ConfigError(
            f"latent={request.latent} needs {n:,} examples, and the split {request.split} of {data.name} has "
            f"{data.size(request.split):,}"
        )
    x, y = data.examples(request.split, n, request.seed)
    return x.to(model.device), y.to(model.device) if model.conditional else None


def _labels(request: Request, model: GenerativeModule, own: Tensor | None, n: int) -> Tensor | None:
    """Labels ``(n,)`` to decode with: those of the request, or else the examples' own."""
    y = labels_of(model, own, request.y, n)
    return None if y is None else y.to(model.device)


def _interpolate(request: Request, model: Any, data: Any, console: Console) -> LatentTable:
    way = {"path": INTERPOLATIONS[request.interpolation], "steps": request.steps, "knobs": request.knobs}
    if not isinstance(model, LatentVariables):
        own = torch.arange(request.rows) % model.num_classes if model.conditional else None
        return prior_interpolations(model, _labels(request, model, own, request.rows), rows=request.rows, **way)
    x, own = _examples(request, model, data, 2 * request.rows)
    y = _labels(request, model, None if own is None else own[::2], request.rows)
    return interpolations(model, x, own, y, **way)


def _reconstruct(request: Request, model: Any, data: Any, console: Console) -> LatentTable:
    x, own = _examples(request, model, data, request.rows)
    y = _labels(request, model, own, request.rows)
    return reconstructions(model, x, own, y, draws=request.draws, knobs=request.knobs)


def _traverse(request: Request, model: Any, data: Any, console: Console) -> LatentTable:
    x, own = _examples(request, model, data, min(data.evaluation_batch_size, data.size(request.split)))
    y = _labels(request, model, None if own is None else own[:1], 1)
    is_prior = request.centre == "prior"
    centre = model.sample_prior(PRIOR_DRAWS).mean(0) if is_prior else model.latent_mean(x, own)[0]
    used, form = usage(model, x, own)
    values = symmetric_values(request.extent, request.steps)
    table = traversals(model, centre, y, used, form, rows=request.rows, values=values, knobs=request.knobs)
    console.print(
        f"  {form.split()[0]} over {len(x):,} examples: {', '.join(table.rows)}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    return table


WAYS = {"interpolate": _interpolate, "traverse": _traverse, "reconstruct": _reconstruct}
