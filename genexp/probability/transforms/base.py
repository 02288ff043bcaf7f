"""Bijections between data and noise, whose Jacobians have determinants that are cheap: log p(x) = log p(z) + log |det dz/dx|."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise

import torch
from torch import Tensor, nn

from genexp.probability.observation.base import promoted
from genexp.ranges import at_least


def full_precision(x: Tensor) -> AbstractContextManager:
    """Inside the block nothing is computed in less precision than its operands have: log-densities under bfloat16 are off by
    tenths of nats in two dimensions already."""
    return torch.autocast(x.device.type, enabled=False)


class Bijection(nn.Module, ABC):
    """A differentiable and invertible map from x ``(B, *shape)`` to z ``(B, *latent_shape)``, of as many dimensions, that may
    depend on a context ``(B, C)``, such as one-hot labels.

    A new one writes :meth:`transform` and :meth:`invert`; who uses it calls it, and :meth:`inverse`.

    Args:
        shape: of x.
        latent_shape: of z; None for that of x.
    """

    def __init__(self, shape: Sequence[int], latent_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        at_least(1, shape=shape)
        self.shape = torch.Size(shape)
        self.latent_shape = self.shape if latent_shape is None else torch.Size(latent_shape)

    @abstractmethod
    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """z ``(B, *latent_shape)`` of x ``(B, *shape)``, and log |det dz/dx| ``(B,)`` in nats."""

    @abstractmethod
    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        """x ``(B, *shape)`` of z ``(B, *latent_shape)``."""

    def initialise(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Set what depends on the data, such as means and scales, from examples ``(N, *shape)``; returns their z. By default
        there is nothing to set."""
        return self(x, context)[0]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """:meth:`transform`, in full precision whatever the precision around it."""
        with full_precision(x):
            return self.transform(promoted(x), None if context is None else promoted(context))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """:meth:`invert`, in full precision whatever the precision around it."""
        with full_precision(z):
            return self.invert(promoted(z), None if context is None else promoted(context))


class Composition(Bijection):
    """One bijection after another, from x to z.

    Args:
        parts: at least one; each takes what the one before it gives.
    """

    def __init__(self, parts: Sequence[Bijection]) -> None:
        if not parts:
            raise ValueError("parts=[]: must be at least one bijection")
        for before, after in pairwise(parts):
            if before.latent_shape != after.shape:
                raise ValueError(f"parts: shape {list(before.latent_shape)} goes into one for {list(after.shape)}")
        super().__init__(parts[0].shape, parts[-1].latent_shape)
        self.parts = nn.ModuleList(parts)

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for part in self.parts:
            x, log_det = part(x, context)
            total = total + log_det
        return x, total

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        for part in reversed(self.parts):
            z = part.inverse(z, context)
        return z

    def initialise(self, x: Tensor, context: Tensor | None) -> Tensor:
        for part in self.parts:
            x = part.initialise(x, context)
        return x


class Inverse(Bijection):
    """The inverse of a bijection: what is fast in one direction and slow in the other changes sides.

    Args:
        part: from z to x.
    """

    def __init__(self, part: Bijection) -> None:
        super().__init__(part.latent_shape, part.shape)
        self.part = part

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self.part.inverse(x, context)
        return z, -self.part(z, context)[1]

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self.part(z, context)[0]


class Flatten(Bijection):
    """x ``(B, *shape)`` as a vector ``(B, D)``."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape, (torch.Size(shape).numel(),))

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(len(x))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z.reshape(-1, *self.shape)
