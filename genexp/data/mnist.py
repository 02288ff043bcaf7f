"""MNIST from its four original files: grey, or binarised afresh in every epoch.

LeCun, Cortes, Burges (1998), 60,000 + 10,000 handwritten digits, 28x28, 256 grey levels.
"""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genexp.data.base import one_of
from genexp.data.batches import BatchKey, Transform
from genexp.data.files import RemoteFile, read
from genexp.data.images import quantise
from genexp.data.in_memory import FileData
from genexp.data.splits import check_splits
from genexp.probability.randomness import generator


def _file(name: str, sha256: str) -> RemoteFile:
    return RemoteFile("mnist", name, f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", sha256)


FILES = {
    ("train", "images"): _file(
        "train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    ("train", "labels"): _file(
        "train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    ("t10k", "images"): _file(
        "t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    ("t10k", "labels"): _file(
        "t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}


def parse_idx(content: bytes, source: str | Path = "the file") -> np.ndarray:
    """The array in an idx file of bytes: two zeros, type 8, number of axes, big-endian sizes, values.

    Raises:
        ValueError: it is no such file, or holds more or fewer values than its sizes say; names ``source``.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < (start := 4 + 4 * content[3]):
        raise ValueError(f"{source} is no idx file of bytes")
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
    if (said := prod(sizes)) != len(content) - start:
        raise ValueError(f"{source} holds {len(content) - start:,} values, but says {said:,} ({sizes})")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


class MnistFiles(FileData):
    """The four files and the splits cut from them.

    Training are the first ``splits.train`` of the 60,000, validation the last ``splits.validation`` of them,
    test the first ``splits.test`` of the 10,000.

    Args:
        splits: sizes of ``train``, ``validation`` and ``test``.
        common: see :class:`genexp.data.in_memory.FileData`.

    Raises:
        ValueError: the splits overlap or exceed the source.
    """

    def __init__(self, *, splits: Mapping[str, int], **common: Any) -> None:
        super().__init__(**common)
        self.splits = check_splits(splits)
        if self.splits["train"] + self.splits["validation"] > 60_000 or self.splits["test"] > 10_000:
            raise ValueError(f"data.splits={self.splits}: train and validation share 60,000 examples, test has 10,000")

    def files(self) -> Sequence[RemoteFile]:
        return tuple(FILES.values())

    def grey(self, split: str) -> tuple[Tensor, Tensor]:
        """The source of a split: uint8 ``(N, 1, 28, 28)`` with 256 levels, and int64 ``(N,)``."""
        source = "t10k" if split == "test" else "train"
        paths = [self.path(FILES[source, kind]) for kind in ("images", "labels")]
        images, labels = (parse_idx(read(path), path) for path in paths)
        n = self.splits[split]
        part = slice(-n, None) if split == "validation" else slice(n)
        return torch.tensor(images[part, None]), torch.tensor(labels[part], dtype=torch.int64)


class Mnist(MnistFiles):
    """The grey digits in ``levels`` levels (see :func:`genexp.data.images.quantise`)."""

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = self.grey(split)
        return quantise(x, self.levels), y

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {"quantisation": f"x * {self.levels} // 256"}


class Binarise:
    """Bernoulli draws with p = grey / 255, keyed by (seed, epoch, batch): the transform of a training batch.

    The draws of the global batch are made on every process and each takes its rows, so the number of
    processes does not change what an example becomes.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, grey: Tensor, key: BatchKey) -> Tensor:
        draws = generator(self.seed, "binarise", key.epoch, key.number)
        u = torch.rand((len(grey) * key.world, *grey.shape[1:]), generator=draws)[key.rank :: key.world]
        return (u * 255 < grey).to(torch.uint8)


class DynamicMnist(MnistFiles):
    """MNIST where a pixel is 1 with probability grey / 255; training images are drawn afresh in every epoch.

    The protocol of Burda, Grosse, Salakhutdinov (2016). ``tensors("train")`` is one draw that stays; the
    training batches are drawn from the grey images.

    Args:
        evaluation_binarisation: of validation and test. ``fixed``: one draw with numpy's legacy generator,
            validation then test, as in the code of Tomczak & Welling (2018); ``random``: one draw from the
            seed of the run; ``threshold``: grey >= 128.
        evaluation_seed: of the legacy generator of ``fixed``.
        common: see :class:`MnistFiles`.
    """

    only_levels: ClassVar[int] = 2

    def __init__(self, *, evaluation_binarisation: str, evaluation_seed: int, **common: Any) -> None:
        super().__init__(**common)
        rules = {"fixed": self._fixed, "random": self._random, "threshold": self._threshold}
        choice = one_of("data.evaluation_binarisation", evaluation_binarisation, tuple(rules))
        self.evaluation_binarisation, self._binarise = choice, rules[choice]
        self.evaluation_seed = evaluation_seed
        self._training: tuple[Tensor, Tensor] | None = None

    def training_source(self) -> tuple[Tensor, Tensor, Transform]:
        if self._training is None:
            self._training = self.grey("train")
        return *self._training, Binarise(self.seed)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        if split == "train":
            grey, y, _ = self.training_source()
            return self._random(grey, split), y
        grey, y = self.grey(split)
        return self._binarise(grey, split), y

    def _random(self, grey: Tensor, split: str) -> Tensor:
        u = torch.rand(grey.shape, generator=generator(self.seed, "binarise", split))
        return (u * 255 < grey).to(torch.uint8)

    def _threshold(self, grey: Tensor, split: str) -> Tensor:
        return (grey >= 128).to(torch.uint8)

    def _fixed(self, grey: Tensor, split: str) -> Tensor:
        legacy = np.random.RandomState(self.evaluation_seed)
        if split == "test":  # the validation images come first in the stream of draws
            legacy.binomial(1, self.grey("validation")[0].float().numpy() / 255)
        return torch.from_numpy(legacy.binomial(1, grey.float().numpy() / 255).astype(np.uint8))

    def protocol(self, split: str) -> dict[str, Any]:
        binarisation = "dynamic" if split == "train" else self.evaluation_binarisation
        if binarisation == "fixed":
            binarisation = f"fixed {self.evaluation_seed}"
        return super().protocol(split) | {"binarisation": binarisation}
