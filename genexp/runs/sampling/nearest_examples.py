"""Neighbours: the training examples that samples are nearest to, to see whether they are copies."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from genexp.callbacks.pictures import are_images, labelled_grid
from genexp.metrics.neighbours import nearest
from genexp.record.errors import ConfigError
from genexp.runs.sampling.files import save


def neighbours(x: Tensor, data: Any, count: int, output: Path, console: Console) -> list[Path]:
    """Write the training examples that are nearest to samples, by :func:`genexp.metrics.neighbours.nearest`.

    Args:
        x: samples ``(n, *shape)`` in the data space, on the CPU.
        data: the run's.
        count: K, training examples of each sample.
        output: where to write, without suffix: ``-neighbours.npy`` the training examples ``(n, K, *shape)``,
            ``-distances.npy`` their distances ``(n, K)``, and for images ``.png``, a row for each sample: itself, then its
            neighbours, beside it the smallest distance.
        console: for what there is to say.

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
        rows, columns = [f"{d:.3f}" for d in first.tolist()], ["sample", *map(str, range(1, count + 1))]
        labelled_grid(torch.cat([x[:, None], found], 1).flatten(0, 1), data.levels, path, columns, rows)
        written.append(path)
    return written
