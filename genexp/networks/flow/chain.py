"""Several flows, one after another."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from genexp.probability.transforms.base import Bijection, Composition


class PartFactory(Protocol):
    """Makes a part of a chain."""

    def __call__(self, *, shape: Sequence[int], context_dim: int) -> Bijection:
        """``shape`` is that of what the part before it gives, ``context_dim`` the dimensions of the context, or 0."""


class Chain(Composition):
    """Parts of different kinds, from x to z.

    Args:
        shape: of one example.
        context_dim: dimensions of the context; 0 for none.
        parts: make them, in this order, by any names; at least one.
    """

    def __init__(self, *, shape: Sequence[int], context_dim: int, parts: Mapping[str, PartFactory]) -> None:
        made: list[Bijection] = []
        for part in parts.values():
            made.append(part(shape=made[-1].latent_shape if made else shape, context_dim=context_dim))
        super().__init__(made)
