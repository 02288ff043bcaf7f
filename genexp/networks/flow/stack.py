"""Flows of vectors: layers of one kind, one after another."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from genexp.networks.flow.layers import CouplingLayer, MaskedAutoregressiveLayer
from genexp.probability.randomness import generator
from genexp.probability.transforms.base import Bijection, Composition, Flatten, Inverse
from genexp.probability.transforms.linear import LULinear
from genexp.probability.transforms.univariate import Univariate
from genexp.ranges import at_least


class UnivariateFactory(Protocol):
    """Makes the increasing functions of a layer."""

    def __call__(self) -> Univariate:
        """Called once for each layer."""


class LayerStack(Composition, ABC):
    """``depth`` layers. Examples are flattened.

    Args:
        shape: of one example.
        context_dim: dimensions of the context; 0 for none.
        depth: number of layers, at least 1.
        univariate: makes the functions of a layer.
        hidden: widths of the hidden layers of each network, at least one.
        activation: non-linearity of the hidden layers.
        linear: a linear map of all dimensions before every layer, by LU.
        order_seed: of an order of the dimensions for each layer, drawn at random; None for orders that alternate.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        context_dim: int,
        depth: int,
        univariate: UnivariateFactory,
        hidden: Sequence[int],
        activation: nn.Module,
        linear: bool,
        order_seed: int | None,
    ) -> None:
        at_least(1, depth=depth)
        if not hidden:
            raise ValueError("hidden=[]: must be at least one width")
        at_least(1, hidden=hidden)
        dims = torch.Size(shape).numel()
        parts: list[Bijection] = [Flatten(shape)]
        for i in range(depth):
            if linear:
                parts.append(LULinear((dims,)))
            if order_seed is None:
                order = self.alternating(dims, i)
            else:
                order = torch.randperm(dims, generator=generator(order_seed, "order", i))
            settings = {"univariate": univariate(), "hidden": hidden, "activation": activation}
            parts.append(self.layer(order, context_dim=context_dim, **settings))
        super().__init__(parts)

    @staticmethod
    def alternating(dims: int, i: int) -> Tensor:
        """Places of the dimensions in layer ``i``: as they are, and reversed in every other layer."""
        order = torch.arange(dims)
        return order.flip(0) if i % 2 else order

    @staticmethod
    @abstractmethod
    def layer(
        order: Tensor, *, context_dim: int, univariate: Univariate, hidden: Sequence[int], activation: nn.Module
    ) -> Bijection:
        """A layer with the places ``order`` of the dimensions, a permutation of 0, ..., D - 1."""


class MaskedAutoregressiveStack(LayerStack):
    """Autoregressive layers: MAF (Papamakarios et al. 2017), and what has other functions in its place. The likelihood takes one
    pass, a draw D passes, which without gradients cost about as much as one."""

    layer = staticmethod(MaskedAutoregressiveLayer)


class InverseAutoregressiveStack(LayerStack):
    """Inverses of autoregressive layers: IAF (Kingma et al. 2016). A draw takes one pass, the likelihood D + 1."""

    @staticmethod
    def layer(
        order: Tensor, *, context_dim: int, univariate: Univariate, hidden: Sequence[int], activation: nn.Module
    ) -> Bijection:
        return Inverse(MaskedAutoregressiveLayer(order, context_dim, univariate, hidden, activation))


class CouplingStack(LayerStack):
    """Coupling layers (Dinh et al. 2014, 2017): both directions take one pass. A layer keeps the dimensions at odd places of its
    order."""

    @staticmethod
    def alternating(dims: int, i: int) -> Tensor:
        """Counted from 0 in one layer and from 1 in the next, so that the dimensions at odd and at even places change sides."""
        return torch.arange(dims) + i % 2

    @staticmethod
    def layer(
        order: Tensor, *, context_dim: int, univariate: Univariate, hidden: Sequence[int], activation: nn.Module
    ) -> Bijection:
        return CouplingLayer(order % 2 == 1, context_dim, univariate, hidden, activation)
