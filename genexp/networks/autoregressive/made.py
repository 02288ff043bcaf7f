"""MADE: a masked multi-layer perceptron whose outputs are conditionals (Germain, Gregor, Murray, Larochelle, ICML 2015)."""

import itertools
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Sampler
from genexp.networks.blocks.initialisation import initialise
from genexp.probability.randomness import generator
from genexp.ranges import at_least


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
        levels: see :class:`AutoregressiveNetwork`.
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
        levels: int | None,
        hidden: Sequence[int],
        activation: nn.Module,
        random_order: bool,
        num_masks: int | None,
        mask_seed: int,
        direct: bool,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__(shape, num_params, levels)
        if num_masks is not None:
            at_least(1, hint=", or null for a new mask at every step", num_masks=num_masks)
        if not hidden:
            raise ValueError("hidden=[]: MADE needs at least one hidden layer")
        at_least(1, hidden=hidden)
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
        self.masks = lru_cache(maxsize=2)(self._masks)  # those of wide layers take as much memory as the weights

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

    def _masks(self, order: int, device: torch.device, dtype: torch.dtype) -> tuple[list[Tensor], Tensor, Tensor]:
        """Masks of the hidden layers, the output ``(P D, width)`` and the direct connection ``(P D, D)``: 1 where there is a
        connection, in the dtype of the weights, since the product with a Boolean takes twice as long."""
        degrees = [d.to(device) for d in self.degrees(order)]
        hidden = [(b[:, None] >= a[None]).to(dtype) for a, b in itertools.pairwise(degrees)]
        rows = degrees[0].repeat(self.num_params)[:, None]
        return hidden, (rows > degrees[-1][None]).to(dtype), (rows > degrees[0][None]).to(dtype)

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        hidden_masks, output_mask, direct_mask = self.masks(order, x.device, self.output.weight.dtype)
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

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        return MADESampler(self, n, y, order)


class MADESampler:
    """Sampling without recomputation: each hidden unit is computed once, as soon as all its inputs are known.

    Before step t (of 0, ..., D - 1) the first t inputs are known, so that the hidden units of degree t can be computed, layer
    after layer. They are kept sorted by degree: what a unit is connected to comes first in the layer below, and no mask is
    needed. The weights of a hidden layer are gathered step by step, those of the output once; all steps together multiply
    by every unmasked weight once. Units lie in rows, ``(width, n)``, so that those of a step are one block of memory.
    """

    def __init__(self, network: MADE, n: int, y: Tensor | None, order: int) -> None:
        self.network = network
        device = network.output.weight.device
        degrees = network.degrees(order)
        steps = torch.arange(network.dims)
        self.known = [torch.searchsorted(d.sort().values, steps, right=True).tolist() for d in degrees[1:]]
        """Of each layer, how many hidden units have a degree of at most t."""
        sequence, *self.units = (d.argsort().to(device) for d in degrees)
        """Indices of the inputs and of each layer's units, sorted by degree."""
        self.inputs = [sequence, *self.units[:-1]] if network.random_order else [None, *self.units[:-1]]
        """Of each layer, which columns of its weights come first; None for the columns as they are."""
        self.offsets = [layer.bias[units, None] for layer, units in zip(network.layers, self.units, strict=True)]
        if network.label is not None:
            self.offsets[0] = self.offsets[0] + network.label.weight[self.units[0]][:, y]
        self.hidden = [offset.new_empty(len(units), n) for offset, units in zip(self.offsets, self.units, strict=True)]
        self.bias = self._by_step(network.output.bias.unsqueeze(1), None)
        self.output = self._by_step(network.output.weight, self.units[-1])
        self.direct = None if network.direct is None else self._by_step(network.direct.weight, self.inputs[0])
        self.order = sequence.tolist()

    def _by_step(self, weight: Tensor, columns: Tensor | None) -> tuple[Tensor, ...]:
        """The rows of each dimension, ``(P, width)``, with sorted columns: ``(P D, width)``."""
        weight = weight if columns is None else weight.index_select(1, columns)
        return weight.view(self.network.num_params, self.network.dims, -1).unbind(1)

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        before, known = t, canvas[:, :t].t()
        for layer, hidden, offset, units, columns, ends in zip(
            self.network.layers, self.hidden, self.offsets, self.units, self.inputs, self.known, strict=True
        ):
            first, last = ends[t - 1] if t > 0 else 0, ends[t]
            if last > first:
                weight = layer.weight.index_select(0, units[first:last])
                weight = weight[:, :before] if columns is None else weight.index_select(1, columns[:before])
                hidden[first:last] = self.network.activation(torch.addmm(offset[first:last], weight, known))
            before, known = last, hidden[:last]
        place = self.order[t]
        params = torch.addmm(self.bias[place], self.output[place][:, :before], known)
        if self.direct is not None:
            params = torch.addmm(params, self.direct[place][:, :t], canvas[:, :t].t())
        return params.t().contiguous()  # draws of random numbers go by the layout
