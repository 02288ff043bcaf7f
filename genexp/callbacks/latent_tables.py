"""What latent variables mean, to look at: interpolations, traversals and reconstructions as tables of decoded points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genexp.callbacks.grids import Panel, write_grid
from genexp.callbacks.pictures import are_images, label_names
from genexp.families.capabilities import LatentDecoder, LatentVariables
from genexp.probability.latent.interpolation import Interpolation


@dataclass
class LatentTable:
    """Points of the latent space in rows of S, decoded.

    Attributes:
        z: ``(R, S, latent_dim)``.
        decoded: ``(R, S, *shape)``.
        columns: S names.
        rows: R names, or None.
        y: the label of each row ``(R,)``, which then names it, or None.
        before, after: an example ``(*shape)`` to show at the beginning and at the end of each row: ``(R, *shape)``, or None.
    """

    z: Tensor
    decoded: Tensor
    columns: list[str]
    rows: list[str] | None = None
    y: Tensor | None = None
    before: Tensor | None = None
    after: Tensor | None = None

    def shown(self) -> tuple[Tensor, list[str]]:
        """Rows with the examples at their ends: ``(R, C, *shape)`` on the CPU; and C names of the columns."""
        parts, names = [self.decoded], self.columns
        if self.before is not None:
            parts, names = [self.before[:, None], *parts], ["original", *names]
        if self.after is not None:
            parts, names = [*parts, self.after[:, None]], [*names, "original"]
        return torch.cat([part.cpu().float() for part in parts], dim=1), names

    def write(self, levels: int | None, path: Path, *, title: str, names: Sequence[str] | None = None) -> bool:
        """Write the PNG; False, with nothing written, if the examples are no images.

        Args:
            levels: of the data.
            path: the file.
            title: above all.
            names: of the classes; None where they have none.
        """
        if not are_images(self.decoded.shape[2:], levels):
            return False
        x, columns = self.shown()
        rows = self.rows if self.y is None else label_names(self.y, names)
        write_grid([Panel(x=x.flatten(0, 1), width=len(columns), columns=columns, rows=rows)], levels, title, path)
        return True


def decode(model: LatentDecoder, z: Tensor, y: Tensor | None, knobs: Mapping[str, Any]) -> Tensor:
    """z ``(R, S, latent_dim)``, a label for each row ``(R,)`` or None -> ``(R, S, *shape)``: means, without knobs or where all
    are 0, as at temperature 0; else draws."""
    flat, labels = z.flatten(0, 1), None if y is None else y.repeat_interleave(z.shape[1], 0)
    x = model.decode(flat, labels, **knobs) if any(knobs.values()) else model.conditional_mean(flat, labels)
    return x.view(*z.shape[:2], *x.shape[1:])


def interpolations(
    model: LatentVariables,
    x: Tensor,
    own: Tensor | None,
    y: Tensor | None,
    *,
    path: Interpolation,
    steps: int,
    knobs: Mapping[str, Any],
) -> LatentTable:
    """A row from the posterior mean of x_1 to that of x_2, then from x_3 to x_4, ..., each between the examples themselves.

    Args:
        model: on its device, in evaluation mode.
        x: ``(2 R, *shape)`` in the data space.
        own: labels of the examples ``(2 R,)``, for q(z | x, y); None of an unconditional model.
        y: labels ``(R,)``, for p(x | z, y) all along a row; None of an unconditional model.
        path: from one end to the other.
        steps: columns S, at least 2.
        knobs: see :func:`decode`.
    """
    means = model.latent_mean(x, own)
    t = torch.linspace(0, 1, steps, device=means.device)
    z = path(means[::2], means[1::2], t)
    columns = [f"{value:.3g}" for value in t.tolist()]
    return LatentTable(z, decode(model, z, y, knobs), columns, None, y, x[::2], x[1::2])


def prior_interpolations(
    model: LatentDecoder, y: Tensor | None, *, rows: int, path: Interpolation, steps: int, knobs: Mapping[str, Any]
) -> LatentTable:
    """A row from one draw of p(z) to another, and so on, where nothing tells the z of an example.

    Args:
        model: on its device, in evaluation mode.
        y: labels ``(R,)``, for p(x | z, y) all along a row; None of an unconditional model.
        rows: R.
        path, steps, knobs: see :func:`interpolations`.
    """
    z = model.sample_prior(2 * rows)
    t = torch.linspace(0, 1, steps, device=z.device)
    z = path(z[::2], z[1::2], t)
    return LatentTable(z, decode(model, z, y, knobs), [f"{value:.3g}" for value in t.tolist()], None, y)


def usage(model: LatentVariables, x: Tensor, y: Tensor | None) -> tuple[Tensor, str]:
    """How much of x each dimension of z tells: the mean KL(q(z_d | x) || p(z_d)), or, where it is not known, the variance of
    the means of q(z_d | x).

    Args:
        model: on its device.
        x: examples ``(B, *shape)``, at least 2.
        y: labels ``(B,)``, or None.

    Returns:
        ``(latent_dim,)``, and how to write a value: ``KL {:.2f} nats``, or ``var {:.2f}``.
    """
    rates = model.latent_rates(x, y)
    return (model.latent_mean(x, y).var(0), "var {:.2f}") if rates is None else (rates.mean(0), "KL {:.2f} nats")


def symmetric_values(extent: float, steps: int) -> list[float]:
    """``steps`` values at equal distances from -extent to extent; the middle of an odd number is exactly 0."""
    return [extent * (2 * i / (steps - 1) - 1) for i in range(steps)]


def traversals(
    model: LatentVariables,
    centre: Tensor,
    y: Tensor | None,
    used: Tensor,
    form: str,
    *,
    rows: int,
    values: Sequence[float],
    knobs: Mapping[str, Any],
) -> LatentTable:
    """A row for each of the dimensions that are used most, along which that one changes and the others stay.

    Args:
        model: on its device, in evaluation mode.
        centre: the point from which one dimension changes ``(latent_dim,)``.
        y: one label ``(1,)``, or None.
        used, form: of :func:`usage`.
        rows: how many dimensions; all where there are fewer.
        values: that the dimension takes.
        knobs: see :func:`decode`.
    """
    dims = used.argsort(descending=True, stable=True)[:rows]
    z = centre.expand(len(dims), len(values), -1).clone()
    z[torch.arange(len(dims)), :, dims] = z.new_tensor(values)
    names = [f"z{d}  {form.format(used[d].item())}" for d in dims.tolist()]
    labels = None if y is None else y.expand(len(dims))
    return LatentTable(z, decode(model, z, labels, knobs), [f"{value:.3g}" for value in values], names)


def reconstructions(
    model: LatentVariables, x: Tensor, own: Tensor | None, y: Tensor | None, *, draws: int, knobs: Mapping[str, Any]
) -> LatentTable:
    """A row for each example: itself, decoded from the mean of q(z | x), and decoded from draws z ~ q(z | x).

    Args:
        model: on its device, in evaluation mode.
        x: ``(R, *shape)`` in the data space.
        own, y: labels ``(R,)`` for q(z | x, y) and for p(x | z, y); None of an unconditional model.
        draws: how many for each example.
        knobs: see :func:`decode`.
    """
    z, _ = model.infer(x, own, draws)
    z = torch.cat([model.latent_mean(x, own)[None], z]).transpose(0, 1)
    return LatentTable(
        z, decode(model, z, y, knobs), ["mean of q", *(f"draw {i + 1}" for i in range(draws))], None, y, x
    )
