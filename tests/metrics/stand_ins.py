"""Tiny models and data with known answers."""

import hashlib
import math

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, ImportanceBound, LikelihoodBound


class Tensors(LightningDataModule):
    """Splits in memory: name -> (x, y)."""

    modes = None
    density = None
    stacked_digits = False
    batch_size = 4

    def __init__(self, levels: int | None = 256, num_classes: int | None = None, name: str = "toy", **splits) -> None:
        super().__init__()
        self.splits = {split: part if isinstance(part, tuple) else (part, None) for split, part in splits.items()}
        self.shape = tuple(next(iter(self.splits.values()))[0].shape[1:])
        self.levels, self.num_classes, self.name = levels, num_classes, name

    def tensors(self, split: str) -> tuple[Tensor, Tensor | None]:
        return self.splits[split]

    def loader(self, split: str, batch_size: int | None = None) -> list[tuple[Tensor, Tensor | None]]:
        x, y = self.splits[split]
        batch_size = batch_size or self.batch_size
        starts = range(0, len(x), batch_size)
        return [(x[i : i + batch_size], None if y is None else y[i : i + batch_size]) for i in starts]

    def at(self, split: str, index: Tensor) -> tuple[Tensor, Tensor | None]:
        x, y = self.splits[split]
        return x[index], None if y is None else y[index]

    def examples(self, split: str, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        order = torch.randperm(self.size(split), generator=torch.Generator().manual_seed(seed))
        return self.at(split, order[:n])

    def size(self, split: str) -> int:
        return len(self.splits[split][0])

    def protocol(self, split: str) -> dict:
        return {"data": self.name, "split": split}

    def fingerprint(self, split: str) -> str:
        return hashlib.sha256(self.splits[split][0].numpy().tobytes()).hexdigest()


class Uniform(GenerativeModule, ExactLikelihood):
    """Uniform over the data space; the density of a unit cube when the data are continuous."""

    def __init__(self, shape, levels=256, num_classes=None, conditional=False) -> None:
        super().__init__(shape=shape, levels=levels, num_classes=num_classes, conditional=conditional)

    def loss(self, x, y=None):
        return {"loss": -self.log_prob(x, y)}

    def log_prob(self, x, y=None):
        return torch.full((len(x),), -self.dims * math.log(self.levels or 1))

    def draw(self, n, y, **knobs):
        return torch.randint(self.levels, (n, *self.shape)).to(torch.uint8)


class Labelled(Uniform):
    """log p(x | y) = -y: shows which labels arrive."""

    def log_prob(self, x, y=None):
        return -y.double()


class Single(Uniform, LikelihoodBound):
    """A bound that has no draws, 1 nat below log p."""

    def bound(self, x, y=None):
        return Uniform.log_prob(self, x, y) - 1


class Noisy(Uniform, ImportanceBound):
    """A bound log p - |eps| / k whose draws come from the global generator."""

    def bound(self, x, y=None, k=1):
        assert not self.training and not torch.is_grad_enabled()
        return Uniform.log_prob(self, x, y) - torch.rand(len(x)) / k


class Replay(Uniform):
    """Samples given examples in order, from the first at each call that restarts."""

    def __init__(self, x: Tensor, levels=256) -> None:
        super().__init__(tuple(x.shape[1:]), levels)
        self.x, self.position = x, 0

    def draw(self, n, y, **knobs):
        start, self.position = self.position, self.position + n
        return self.x[start : self.position]


class Conditional(Uniform):
    """Samples of each label: the given examples of it, in turn."""

    def __init__(self, x: Tensor, y: Tensor, num_classes: int, levels=256) -> None:
        super().__init__(tuple(x.shape[1:]), levels, num_classes, conditional=True)
        self.by_label = [x[y == label] for label in range(num_classes)]

    def draw(self, n, y, **knobs):
        return torch.stack([self.by_label[label][i % len(self.by_label[label])] for i, label in enumerate(y.tolist())])
