"""Writing a data set as tar shards in the format of WebDataset, for :class:`genexp.data.shards.Shards`."""

import io
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from torch import Tensor

from genexp.data.base import SPLITS, Data
from genexp.data.images import encode
from genexp.ranges import at_least


def check_images(data: Data) -> None:
    """Refuse data that are no images of 1 or 3 channels, before they are read.

    Raises:
        ValueError: naming them.
    """
    if len(data.shape) != 3 or data.shape[0] not in (1, 3) or data.levels is None:
        raise ValueError(f"{data.name} has shape {list(data.shape)} and levels {data.levels}: only images have shards")


def write_shards(data: Data, folder: Path, per_shard: int) -> dict[str, int]:
    """Write all splits as ``<split>-000000.tar`` and so on: of each example ``key.png`` and, with labels, ``key.cls``.

    Args:
        data: images; read batch by batch in their fixed order, so they need not fit into memory.
        folder: where to; made if need be. A shard appears there complete or not at all.
        per_shard: examples per shard, at least 1; the last shard of a split may have fewer.

    Returns:
        Number of shards of each split.

    Raises:
        ValueError: the data are no images of 1 or 3 channels, or the folder holds shards already.
    """
    at_least(1, per_shard=per_shard)
    check_images(data)
    folder.mkdir(parents=True, exist_ok=True)
    if there := sorted(path.name for split in SPLITS for path in folder.glob(f"{split}-*.tar")):
        raise ValueError(f"{folder} already holds shards, e.g. {there[0]}: choose an empty folder")
    counts = {}
    for split in SPLITS:
        examples = _examples(data, split)
        starts = range(0, data.size(split), per_shard)
        for number, start in enumerate(starts):
            shard = folder / f"{split}-{number:06d}.tar"
            partial = shard.with_suffix(".partial")
            with tarfile.open(partial, "w") as archive:
                for i, (x, y) in enumerate(islice(examples, per_shard), start):
                    _add(archive, f"{i:09d}.png", encode(x, data.levels))
                    if y is not None:
                        _add(archive, f"{i:09d}.cls", str(y).encode())
            partial.replace(shard)
        counts[split] = len(starts)
    return counts


def _examples(data: Data, split: str) -> Iterator[tuple[Tensor, int | None]]:
    for x, y in data.loader(split):
        yield from zip(x, [None] * len(x) if y is None else y.tolist(), strict=True)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
