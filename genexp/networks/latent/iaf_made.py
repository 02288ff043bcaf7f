"""A masked multi-layer perceptron that is told a context: the step of an inverse autoregressive flow."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.blocks.initialisation import initialise
from genexp.probability.randomness import generator
from genexp.ranges import at_least


class ContextMADE(nn.Module):
    """The masks of MADE (Germain et al., ICML 2015, equations 8 and 9) in the order 1, ..., D, with the degrees of the hidden
    units in {1, ..., D - 1}; the context enters the first hidden layer.

    Args:
        dims: dimensions D of the input.
        num_params: parameters P per dimension.
        context_dim: dimensions C of the context.
        hidden: widths of the hidden layers, at least one.
        activation: non-linearity of the hidden layers.
        mask_seed: seed of the hidden units' degrees, drawn uniformly; None spreads them evenly.
        initialisation: initialisation of the weights; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        dims: int,
        num_params: int,
        context_dim: int,
        hidden: Sequence[int],
        activation: nn.Module,
        mask_seed: int | None,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("hidden=[]: ContextMADE needs at least one hidden layer")
        at_least(1, hidden=hidden)
        self.num_params, self.activation = num_params, activation
        widths = [dims, *hidden, num_params * dims]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.context = nn.Linear(context_dim, hidden[0], bias=False)
        initialise(self, initialisation)
        inputs = torch.arange(1, dims + 1)
        if mask_seed is None:  # ceil(i (D - 1) / (width + 1))
            inner = [-(-torch.arange(1, width + 1) * (dims - 1) // (width + 1)) for width in hidden]
        else:
            draws = generator(mask_seed, "mask")
            inner = [torch.randint(1, max(dims, 2), (width,), generator=draws) for width in hidden]
        # at least 1, unless there is one dimension only, on which nothing may depend
        degrees = [inputs, *(degree.clamp(min=1) for degree in inner)]
        masks = [b[:, None] >= a[None] for a, b in itertools.pairwise(degrees)]
        masks.append(inputs.repeat(num_params)[:, None] > degrees[-1][None])
        for i, mask in enumerate(masks):
            self.register_buffer(f"mask_{i}", mask.to(self.context.weight.dtype), persistent=False)

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        """z ``(..., B, D)``, context ``(B, C)`` -> ``(..., B, P, D)``, of which those of d depend on z_<d and the context."""
        h = z
        for i, layer in enumerate(self.layers):
            h = F.linear(h, layer.weight * getattr(self, f"mask_{i}"), layer.bias)
            if i == 0:
                h = h + self.context(context)
            if i < len(self.layers) - 1:
                h = self.activation(h)
        return h.unflatten(-1, (self.num_params, -1))
