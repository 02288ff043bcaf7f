"""Neighbours: the training examples that samples are nearest to, to see whether they are copies."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from genexp.callbacks.grids import Panel, write_grid
from genexp.callbacks.pictures import are_images
from genexp.metrics.neighbours import nearest
from genexp.plot_style import DOT
from genexp.record.errors import ConfigError
from genexp.runs.sampling.files import save

MOST = 100
"""Samples in a picture."""


def neighbours(x: Tensor, data: Any, count: int, output: Path, console: Console, *, title: str) -> list[Path]:
    """Write the training examples that are nearest to samples, by :func:`genexp.metrics.neighbours.nearest`.

    Args:
        x: samples ``(n, *shape)`` in the data space, on the CPU.
        data: the run's.
        count: K, training examples of each sample.
        output: where to write, without suffix: ``-neighbours.npy`` the training examples ``(n, K, *shape)``,
            ``-distances.npy`` their distances ``(n, K)``, and for images ``.png``, a row for each sample: itself, then its
            neighbours, beside it the smallest distance.
        console: for what there is to say.
        title: of the picture.

    Returns:
        The files written.

    Raises:
        ConfigError: there are fewer training examples.
    """
    data.prepare_data()
    data.setup()
    if count > data.size("train"):
        raise ConfigError(f"neighbours={count}: {data.name} has {data.size('train'):,} training examples")
    distances, index = nearest(x, data, "train", count)
    found = data.at("train", index.flatten())[0].view(len(x), count, *x.shape[1:])
    first = distances[:, 0]
    console.print(
        f"  distance to the nearest training example (root mean square): smallest {first.min():.3g}, "
        f"median {first.median():.3g}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    written = save(output, {"-neighbours.npy": found, "-distances.npy": distances})
    if are_images(x.shape[1:], data.levels):
        path = output.with_name(output.name + ".png")
        rows = [f"distance {d:.3f}" for d in first[:MOST].tolist()]
        columns = ["sample", *(f"nearest {i + 1}" if i == 0 else str(i + 1) for i in range(count))]
        images = torch.cat([x[:, None], found], 1)[:MOST].flatten(0, 1)
        title = DOT.join([title, "beside their nearest training examples"])
        write_grid([Panel(x=images, width=1 + count, columns=columns, rows=rows)], data.levels, title, path)
        written.append(path)
    return written
