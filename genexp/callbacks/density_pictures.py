"""What a density looks like: in the plane the density itself and how space is bent, and whether data become the noise that they
should."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, LatentDecoder, LatentImage
from genexp.plot_style import COLOUR_MAP, COLOURS, new_figure, style

SIDE = 150
"""Points of the plane along an axis at which a density is computed."""


def density_picture(
    model: GenerativeModule, truth: Any, x: Tensor, y: Tensor | None, path: Path, *, title: str
) -> bool:
    """Write a PNG of a density in the plane: the learnt one, beside it the true one in the same colours, and what the inverse of a
    flow makes of a grid of lines in the space of z. Of a conditional model, what it gives the first label of ``y``.

    Args:
        model: in evaluation mode.
        truth: has ``log_prob``; None where it is not known.
        x: examples ``(N, 2)``, which say where to look.
        y: labels ``(N,)``, or None.
        path: file to write.
        title: above all.

    Returns:
        False, with nothing written, if the data are not in the plane, or the model has no exact likelihood.
    """
    if not isinstance(model, ExactLikelihood) or model.shape != (2,) or model.levels is not None:
        return False
    low, high = x.amin(0), x.amax(0)
    low, high = low - 0.15 * (high - low), high + 0.15 * (high - low)
    axes_of = [torch.linspace(a, b, SIDE) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    points = torch.cartesian_prod(*axes_of).to(x)
    label = y[:1] if model.conditional and y is not None else None
    panels = {"model": model.log_prob(points, None if label is None else label.expand(len(points)))}
    if truth is not None:
        panels["data"] = truth.log_prob(points.double())
    panels = {name: value.exp().view(SIDE, SIDE).t().cpu().double().numpy() for name, value in panels.items()}
    top = max(float(panel.max()) for name, panel in panels.items() if name == "data" or truth is None)
    lines = _bent_grid(model, label) if isinstance(model, LatentDecoder) and isinstance(model, LatentImage) else []
    extent = (low[0].item(), high[0].item(), low[1].item(), high[1].item())
    with style():
        figure = new_figure(3.6 * (len(panels) + bool(lines)), 4, title)
        parts = figure.subplots(1, len(panels) + bool(lines), squeeze=False)[0]
        for axes, (name, panel) in zip(parts, panels.items(), strict=False):
            axes.imshow(panel, origin="lower", extent=extent, vmin=0, vmax=top, aspect="equal", cmap=COLOUR_MAP)
            axes.set(title=f"density of the {name}", xlabel="x₁", ylabel="x₂")
            axes.grid(False)
        for line in lines:
            parts[-1].plot(*line.cpu().t().numpy(), color=COLOURS[0], linewidth=0.5)
        if lines:
            parts[-1].set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xlabel="x₁", ylabel="x₂")
            parts[-1].set_title("a grid of z, quantiles of the noise")
        figure.savefig(path)
    return True


def _bent_grid(model: Any, label: Tensor | None) -> list[Tensor]:
    """Images ``(M, 2)`` of the lines of a grid of z, whose cells are equally likely where the noise has independent dimensions."""
    draws = model.sample_prior(4_000)
    marks = torch.linspace(0.02, 0.98, 25).to(draws)
    places = [draws[:, d].quantile(marks) for d in (0, 1)]
    lines = []
    for d in (0, 1):
        along = torch.linspace(float(places[1 - d][0]), float(places[1 - d][-1]), 300).to(draws)
        for place in places[d]:
            z = torch.stack([place.expand(300), along], 1)
            z = z if d == 0 else z.flip(1)
            lines.append(model.decode(z, None if label is None else label.expand(300)))
    return lines


def quantile_picture(
    model: GenerativeModule, x: Tensor, y: Tensor | None, path: Path, *, title: str, most: int = 64
) -> bool:
    """Write a PNG of the quantiles of every dimension of z, the image of data, against those of the noise that it should be, both
    on the scale of a standard normal: lines on the diagonal if the model is right.

    Args:
        model: in evaluation mode.
        x: examples that it was not trained on, ``(N, *shape)``.
        y: labels ``(N,)``, or None.
        path: file to write.
        title: above all.
        most: dimensions that are shown, evenly chosen.

    Returns:
        False, with nothing written, if the model maps data to no noise.
    """
    if not isinstance(model, LatentImage):
        return False
    u = model.latent_cdf(model.latent(x, y)).double()
    chosen = torch.linspace(0, u.shape[1] - 1, min(most, u.shape[1])).round().long()
    found = torch.special.ndtri(u[:, chosen].sort(0).values.clamp(1e-9, 1 - 1e-9)).cpu()
    wanted = torch.special.ndtri((torch.arange(len(u), dtype=torch.float64) + 0.5) / len(u))
    with style():
        figure = new_figure(5, 4.6, title)
        axes = figure.add_subplot(xlabel="quantiles of the noise", ylabel="quantiles of the image of data, by dimension")
        axes.plot(wanted.numpy(), found.numpy(), linewidth=0.6, alpha=0.6)
        axes.plot(wanted[[0, -1]].numpy(), wanted[[0, -1]].numpy(), color="black", linewidth=1)
        axes.set(xlim=(-4, 4), ylim=(-4, 4))
        figure.savefig(path)
    return True
