"""Layers of zuko as bijections: a network of some dimensions gives the parameters of increasing functions of others."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.lazy import LazyTransform

from genexp.networks.flow.incremental import IncrementalInverse
from genexp.probability.transforms.base import Bijection
from genexp.probability.transforms.univariate import Univariate


class ZukoLayer(Bijection):
    """A lazy transform of zuko.

    Args:
        dims: of x and z.
        lazy: called with a context, gives the transform.
    """

    def __init__(self, dims: int, lazy: LazyTransform) -> None:
        super().__init__((dims,))
        self.lazy = lazy

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.lazy(context).call_and_ladj(x)

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self.lazy(context).inv(z)


def _networks(univariate: Univariate, hidden: Sequence[int], activation: nn.Module) -> dict[str, Any]:
    """What zuko is told of the functions of a layer, and of the network that gives their parameters."""
    return {
        "univariate": univariate,
        "shapes": univariate.shapes,
        "hidden_features": tuple(hidden),
        "activation": lambda: deepcopy(activation),
    }


class MaskedAutoregressiveLayer(ZukoLayer):
    """z_d = f(x_d; parameters given x_<d and the context), in an order (Papamakarios et al. 2017). One pass gives z and the
    determinant; the inverse needs D, of which each without gradients computes what is new only.

    Args:
        order: the place of each dimension, a permutation of 0, ..., D - 1.
        context_dim: dimensions of the context; 0 for none.
        univariate: f, with the shapes of its parameters.
        hidden: widths of the hidden layers.
        activation: non-linearity of the hidden layers.
    """

    def __init__(
        self, order: Tensor, context_dim: int, univariate: Univariate, hidden: Sequence[int], activation: nn.Module
    ) -> None:
        lazy = MaskedAutoregressiveTransform(
            features=len(order),
            context=context_dim,
            order=order,
            **_networks(univariate, hidden, activation),
        )
        super().__init__(len(order), lazy)

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() or not isinstance(self.lazy, MaskedAutoregressiveTransform):  # of one dimension
            return super().invert(z, context)
        return IncrementalInverse(self.lazy)(z, context)


class CouplingLayer(ZukoLayer):
    """z_b = f(x_b; parameters given x_a and the context), and z_a = x_a: both directions take one pass (Dinh et al. 2014, 2017).

    Args:
        kept: bool ``(D,)``, which dimensions are a; some, and not all if D > 1.
        context_dim, univariate, hidden, activation: see :class:`MaskedAutoregressiveLayer`.
    """

    def __init__(
        self, kept: Tensor, context_dim: int, univariate: Univariate, hidden: Sequence[int], activation: nn.Module
    ) -> None:
        lazy = GeneralCouplingTransform(
            features=len(kept),
            context=context_dim,
            mask=kept,
            **_networks(univariate, hidden, activation),
        )
        super().__init__(len(kept), lazy)
