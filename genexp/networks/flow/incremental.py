"""The inverse of an autoregressive layer without recomputation."""

from itertools import pairwise

import torch
from torch import Tensor
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.nn import MaskedLinear
from zuko.utils import unpack


class IncrementalInverse:
    """x of z, a dimension a step, in the order of the layer: each hidden unit is computed once, as soon as all that it depends on
    is known, and of the outputs those of the step's dimension. All steps together multiply by every weight once, where D passes
    multiply by every weight D times.

    Units are kept sorted by the step from which on they are known, so that those of a step are one block; they lie in rows.

    Args:
        layer: of zuko, fully autoregressive and without residual blocks.
    """

    def __init__(self, layer: MaskedAutoregressiveTransform) -> None:
        self.layer = layer
        self.sequence = layer.order.argsort().tolist()
        linear = [part for part in layer.hyper if isinstance(part, MaskedLinear)]
        self.activations = [part for part in layer.hyper if not isinstance(part, MaskedLinear)]
        dims, device = len(self.sequence), layer.order.device
        steps = torch.arange(dims + 1)
        context = linear[0].in_features - dims
        # a unit is known in step t if all that it sees was known before, the context from the beginning on
        known_from = torch.cat([layer.order + 1, layer.order.new_zeros(context)])
        places = known_from.argsort(stable=True)
        self.inputs = places
        self.ends = [torch.searchsorted(known_from[places].cpu(), steps, right=True).tolist()]
        """Of the inputs and each hidden layer, how many are known in step t."""
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        for part in linear[:-1]:
            seen = part.mask * known_from  # (units, units before)
            known_from = seen.amax(1)
            units = known_from.argsort(stable=True)
            self.weights.append((part.weight * part.mask)[units][:, places])
            self.biases.append(part.bias[units, None])
            self.ends.append(torch.searchsorted(known_from[units].cpu(), steps, right=True).tolist())
            places = units
        last = linear[-1]
        self.rows = (last.weight * last.mask)[:, places].view(dims, layer.total, -1).unbind()
        self.row_biases = last.bias.view(dims, layer.total, 1).unbind()
        self.buffers = [(len(bias), device, bias.dtype) for bias in self.biases]

    @torch.no_grad()
    def __call__(self, z: Tensor, context: Tensor | None) -> Tensor:
        """x ``(B, D)`` of z ``(B, D)`` and a context ``(B, C)``."""
        n = len(z)
        x = torch.zeros_like(z)
        inputs = z.new_zeros(self.weights[0].shape[1], n)
        first = self.ends[0][0]
        if context is not None:
            inputs[:first] = context.t()
        hidden = [inputs, *(z.new_empty(size, n) for size, _, _ in self.buffers)]
        columns = z.t().contiguous().unsqueeze(-1).unbind()
        before = [0] * len(self.ends)
        for t, d in enumerate(self.sequence):
            now = [ends[t] for ends in self.ends]
            for i, (below, above) in enumerate(pairwise(hidden)):
                start, end = before[i + 1], now[i + 1]
                if end > start:
                    part = torch.addmm(self.biases[i][start:end], self.weights[i][start:end, : now[i]], below[: now[i]])
                    above[start:end] = self.activations[i](part)
            phi = torch.addmm(self.row_biases[d], self.rows[d][:, : now[-1]], hidden[-1][: now[-1]])
            value = self.layer.univariate(*unpack(phi.t().unsqueeze(1), self.layer.shapes)).inv(columns[d])
            inputs[first + t] = value[:, 0]
            x[:, d] = value[:, 0]
            before = now
        return x
