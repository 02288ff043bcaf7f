"""MADE: a masked multi-layer perceptron whose outputs are conditionals (Germain, Gregor, Murray, Larochelle, ICML 2015)."""

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive import AutoregressiveNetwork
from genexp.networks.initialisation import initialise
from genexp.probability.randomness import generator


class MADE(AutoregressiveNetwork):
    """Masked autoencoder.

    Input d has the degree m(d) in {1, ..., D}, its place in the order; a hidden unit has a degree in {1, ..., D - 1},
    drawn uniformly from those not below the smallest degree of the layer before it. A connection exists where the
    degree does not fall, and into an output where it strictly rises (equations 12, 13, 16): output d then sees the
    inputs of smaller degree only. Order number k fixes all degrees, as a function of (``mask_seed``, k).

    Args:
        shape: shape of one example.
        num_params: parameters per dimension.
        num_classes: number of labels; 0 for an unconditional network. A label enters the first hidden layer.
        hidden: widths of the hidden layers.
        activation: non-linearity of the hidden layers.
        random_order: draw the order of the inputs; False keeps the raster order for every k.
        num_masks: how many orders are trained, at least 1; None for a new one at every training step
            ("order- and connectivity-agnostic training", section 4.2).
        mask_seed: seed of the degrees.
        direct: connect inputs directly to outputs as well (equation 15).
        initialisation: initialisation of the weights, e.g. ``torch.nn.init.orthogonal_``; None for PyTorch's.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        hidden: Sequence[int],
        activation: nn.Module,
        random_order: bool,
        num_masks: int | None,
        mask_seed: int,
        direct: bool,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__(tuple(shape), num_params)
        if num_masks is not None and num_masks < 1:
            raise ValueError(f"num_masks={num_masks}: must be at least 1, or null for a new mask at every step")
        if not hidden:
            raise ValueError("hidden=[]: MADE needs at least one hidden layer")
        self.num_orders = num_masks
        self.random_order, self.mask_seed, self.num_classes = random_order, mask_seed, num_classes
        self.hidden = tuple(hidden)
        self.activation = activation
        widths = [self.dims, *hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.output = nn.Linear(widths[-1], num_params * self.dims)
        self.direct = nn.Linear(self.dims, num_params * self.dims, bias=False) if direct else None
        self.label = nn.Linear(num_classes, hidden[0], bias=False) if num_classes else None
        initialise(self, initialisation)
        self.masks = lru_cache(maxsize=8)(self._masks)

    def degrees(self, order: int) -> list[Tensor]:
        """Degrees of the inputs ``(D,)``, in {1, ..., D}, and of each hidden layer ``(width,)``, in {1, ..., D - 1}."""
        draws = generator(self.mask_seed, "mask", order)
        places = torch.randperm(self.dims, generator=draws) if self.random_order else torch.arange(self.dims)
        degrees = [places + 1]
        highest = max(self.dims - 1, 1)
        for width in self.hidden:
            lowest = min(int(degrees[-1].min()), highest)
            degrees.append(torch.randint(lowest, highest + 1, (width,), generator=draws))
        return degrees

    def permutation(self, order: int = 0) -> Tensor:
        return self.degrees(order)[0].argsort()

    def _masks(self, order: int, device: torch.device) -> tuple[list[Tensor], Tensor, Tensor]:
        """Boolean masks of the hidden layers, the output ``(P D, width)`` and the direct connection ``(P D, D)``."""
        degrees = [d.to(device) for d in self.degrees(order)]
        hidden = [b[:, None] >= a[None] for a, b in itertools.pairwise(degrees)]
        rows = degrees[0].repeat(self.num_params)[:, None]
        return hidden, rows > degrees[-1][None], rows > degrees[0][None]

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        hidden_masks, output_mask, direct_mask = self.masks(order, x.device)
        x = x.flatten(1)
        h = x
        for i, (layer, mask) in enumerate(zip(self.layers, hidden_masks, strict=True)):
            h = F.linear(h, layer.weight * mask, layer.bias)
            if i == 0 and self.label is not None:
                h = h + self.label(F.one_hot(y, self.num_classes).to(h.dtype))
            h = self.activation(h)
        out = F.linear(h, self.output.weight * output_mask, self.output.bias)
        if self.direct is not None:
            out = out + F.linear(x, self.direct.weight * direct_mask)
        return out.view(-1, self.num_params, *self.shape)
