"""The network of DeepNADE: a multi-layer perceptron that receives x and which of its dimensions are given (Uria, Murray,
Larochelle, "A deep and tractable density estimator", ICML 2014)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genexp.networks.autoregressive.order_agnostic import MaskedNetwork, MaskedSampler
from genexp.networks.mlp import ConditionalMLP


class MaskedMLP(MaskedNetwork):
    """``[x * mask, mask, one-hot label]`` -> parameters of all dimensions.

    Args:
        shape: shape of one example.
        num_params: parameters per dimension.
        num_classes: number of labels; 0 for an unconditional network.
        levels: see :class:`MaskedNetwork`.
        hidden: widths of the hidden layers.
        activation: non-linearity of the hidden layers.
        initialisation: initialisation of the weights; None for PyTorch's.
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
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__(shape, num_params, levels)
        if not hidden:
            raise ValueError("hidden=[]: MaskedMLP needs at least one hidden layer")
        self.mlp = ConditionalMLP(
            in_features=2 * self.dims,
            out_features=num_params * self.dims,
            hidden=hidden,
            activation=activation,
            num_classes=num_classes,
            initialisation=initialisation,
        )

    def forward(self, x: Tensor, mask: Tensor, y: Tensor | None = None) -> Tensor:
        inputs = torch.cat([x.flatten(1), mask.flatten(1)], dim=1)
        return self.mlp(inputs, y).view(-1, self.num_params, *self.shape)

    def sampler(self, x: Tensor, given: Tensor, y: Tensor | None) -> MaskedSampler:
        return MaskedMLPSampler(self, x, given, y)


class MaskedMLPSampler(MaskedSampler):
    """The first layer, whose inputs change by one dimension a step, is kept before its non-linearity and updated in O(n H);
    of the last layer only the rows of the wanted dimension are computed. The layers between change wholly.

    With one hidden layer a step costs O(n H) instead of the O(n H D) of a forward pass (Uria et al. 2014, section 3).
    """

    def __init__(self, network: MaskedMLP, x: Tensor, given: Tensor, y: Tensor | None) -> None:
        first, self.activation, *between, last = network.mlp.layers
        self.between = between
        dims, params = network.dims, network.num_params
        mask = given.to(x).flatten().repeat(len(x), 1)
        inputs = [x.flatten(1) * mask, mask]
        if network.mlp.num_classes:
            inputs.append(nn.functional.one_hot(y, network.mlp.num_classes).to(x.dtype))
        self.first = first(torch.cat(inputs, dim=1)).to(x.dtype)
        """The first layer before its non-linearity: ``(n, H)``."""
        of_x, of_mask = first.weight[:, :dims], first.weight[:, dims : 2 * dims]
        self.columns = torch.stack([of_x.t(), of_mask.t()], dim=1).unbind()  # for each dimension (2, H)
        self.input = torch.ones(len(x), 2, dtype=x.dtype, device=x.device)  # a dimension, and its mask
        self.value = self.input[:, 0]
        # for each dimension (H', P) and (P,)
        self.rows = last.weight.view(params, dims, -1).permute(1, 2, 0).contiguous().unbind()
        self.biases = last.bias.view(params, dims).t().contiguous().unbind()

    def params(self, d: int) -> Tensor:
        h = self.activation(self.first)
        for layer in self.between:
            h = layer(h)
        return torch.addmm(self.biases[d], h, self.rows[d])

    def give(self, d: int, x: Tensor) -> None:
        self.value.copy_(x)
        self.first.addmm_(self.input, self.columns[d])
