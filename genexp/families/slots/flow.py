"""The slots of normalizing flows."""

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from genexp.families.base import GenerativeModule
from genexp.probability.dequantisation import Dequantisation
from genexp.probability.transforms.base import Bijection
from genexp.probability.transforms.sources import Source


class BijectionFactory(Protocol):
    """Makes the map from data to noise."""

    def __call__(self, *, shape: Sequence[int], context_dim: int) -> Bijection:
        """Called once, when the model is made.

        Args:
            shape: of x, reals.
            context_dim: dimensions of the context that the map is given, e.g. of a one-hot label; 0 for none.

        Returns:
            A bijection from x ``(B, *shape)`` and a context ``(B, context_dim)``, or None, to z of as many dimensions.

        Raises:
            ValueError: it has no form for this shape.
        """


class SourceFactory(Protocol):
    """Makes the distribution of the noise."""

    def __call__(self, *, dims: int) -> Source:
        """Called once, when the model is made.

        Args:
            dims: of z, at least 1.

        Returns:
            A density of z ``(B, dims)`` that can be drawn from.
        """


class DensityFactory(Protocol):
    """Makes a density of reals, a family of its own."""

    def __call__(
        self,
        *,
        shape: Sequence[int],
        levels: None,
        num_classes: int | None,
        conditional: bool,
        optimizer: None,
        scheduler: None,
    ) -> GenerativeModule:
        """Called once, when the model is made.

        Args:
            shape: of x.
            levels: None, for x are reals.
            num_classes: number of labels of the data set; None if it has none.
            conditional: whether it models p(x | y).
            optimizer, scheduler: None, for the model around it trains it.

        Returns:
            A model with an :class:`~genexp.families.capabilities.ExactLikelihood`.
        """


class DequantisationFactory(Protocol):
    """Makes the noise that is added to levels."""

    def __call__(self, *, shape: Sequence[int], levels: int, num_classes: int) -> Dequantisation:
        """Called once, when the model is made.

        Args:
            shape, levels: of x.
            num_classes: number of labels that it is given; 0 for none.

        Returns:
            Noise u ``(B, *shape)`` in [0, 1) for levels x, with log q(u | x) in nats.
        """


class VelocityFactory(Protocol):
    """Makes the velocity of a continuous flow."""

    def __call__(self, *, shape: Sequence[int], num_classes: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: of x, reals.
            num_classes: number of labels that the network receives; 0 for an unconditional model, whose y is None.

        Returns:
            A network x ``(B, *shape)``, t ``(B,)`` in [0, 1], y ``(B,)`` or None -> dx/dt ``(B, *shape)``, differentiable twice.
        """
