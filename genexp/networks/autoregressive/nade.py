"""NADE: one hidden layer shared by all conditionals (Larochelle & Murray, "The neural autoregressive distribution
estimator", AISTATS 2011; Uria, Côté, Gregor, Murray, Larochelle, "Neural autoregressive distribution estimation", 2016)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from genexp.networks.autoregressive.base import Sampler
from genexp.networks.autoregressive.fixed_order import FixedOrderNetwork
from genexp.networks.blocks.initialisation import initialise
from genexp.ranges import at_least

BLOCK = 16
"""Dimensions of a block, whose hidden activations are in memory together."""
TILE = 2**20
"""Most hidden activations of a block, 4 MiB in float32, so that they stay in the cache: larger batches are divided."""


class NADE(FixedOrderNetwork):
    """Neural autoregressive distribution estimator, in one order.

    ``a_d = c + W x_<d + U onehot(y)``, ``h_d = activation(a_d)``, ``params_d = b_d + V_d h_d`` (2016, equations 3 and 4).
    Each a_d is its predecessor plus one term (equation 5), so that all conditionals cost ``O(D H)`` per example.

    A rectifier takes a_d as it is; NADE for real values (Uria, Murray, Larochelle 2013, section 3) multiplies it by a
    learnt factor for each d, which is left out here.

    Args:
        shape: shape of one example, of any number of axes.
        num_params: parameters per dimension.
        num_classes: number of labels; 0 for an unconditional network. A label enters all a_d.
        levels: see :class:`AutoregressiveNetwork`.
        hidden: number H of hidden units.
        activation: non-linearity of the hidden layer: ``nn.Sigmoid``, as in the papers of 2011, or ``nn.ReLU``.
        random_order: see :class:`FixedOrderNetwork`.
        order_seed: see :class:`FixedOrderNetwork`.
        initialisation: initialisation of the weights, e.g. ``torch.nn.init.orthogonal_``; None for that of ``nn.Linear``.

    Raises:
        ValueError: ``hidden`` < 1, or another activation.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        hidden: int,
        activation: nn.Module,
        random_order: bool,
        order_seed: int,
        initialisation: Callable[[Tensor], Any] | None,
    ) -> None:
        super().__init__(shape, num_params, levels, random_order, order_seed)
        at_least(1, hidden=hidden)
        if type(activation) not in ACTIVATIONS:
            raise ValueError(f"activation={activation}: NADE has the gradients of nn.Sigmoid and nn.ReLU only")
        self.num_classes = num_classes
        self.activation = activation

        def uniform(fan_in: int, *size: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(size).uniform_(-1, 1) / fan_in**0.5)

        self.in_weight = uniform(self.dims, self.dims, hidden)
        """W, ``(D, H)``: row d is what dimension d adds."""
        self.in_bias = uniform(self.dims, hidden)
        """c, ``(H,)``"""
        self.out_weight = uniform(hidden, self.dims, num_params, hidden)
        """V, ``(D, P, H)``"""
        self.out_bias = uniform(hidden, self.dims * num_params)
        """b, ``(D P,)``"""
        self.label = uniform(num_classes, num_classes, hidden) if num_classes else None
        """U, ``(K, H)``"""
        initialise(self, initialisation)

    def start(self, n: int, y: Tensor | None) -> Tensor:
        """a_0, the hidden pre-activations before the first dimension is known: ``(n, H)``."""
        return self.in_bias.expand(n, -1) if self.label is None else self.in_bias + self.label[y]

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        start = self.start(len(x), y)
        rows = max(1, TILE // (BLOCK * self.in_weight.shape[1]))
        with torch.autocast(x.device.type, enabled=False):  # a sum over d in half precision would lose its small terms
            columns = x.flatten(1)[:, self.sequence].t().to(start.dtype)
            parts = [
                Conditionals.apply(x, a, self.in_weight, self.out_weight, type(self.activation))
                for x, a in zip(columns.split(rows, 1), start.split(rows), strict=True)
            ]
        params = torch.cat(parts, 1) + self.out_bias.view(self.dims, 1, self.num_params)
        return params[self.places].permute(1, 2, 0).unflatten(2, self.shape)

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        """Each step adds what the last dimension drawn tells the hidden units: all steps are one forward pass."""
        activate_, _ = ACTIVATIONS[type(self.activation)]
        pre = self.start(n, y).clone()
        rows = self.in_weight.unbind()
        readout = self.out_weight.transpose(1, 2).unbind()  # D of (H, P)
        bias = self.out_bias.view(self.dims, 1, self.num_params).unbind()

        def step(canvas: Tensor, t: int) -> Tensor:
            if t > 0:
                pre.addr_(canvas[:, t - 1], rows[t - 1])
            return torch.addmm(bias[t], activate_(pre.clone()), readout[t])

        return step


class Conditionals(Function):
    """``V_d h_d`` for all d, and its gradient.

    Works through blocks of dimensions and keeps the pre-activations at the start of each block only: of the hidden
    activations ``(D, B, H)``, which the backward pass computes again, there is never more than one block.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, start: Tensor, w: Tensor, v: Tensor, activation: type[nn.Module]) -> Tensor:
        """x ``(D, B)``, a_0 ``(B, H)``, W ``(D, H)``, V ``(D, P, H)`` -> ``(D, B, P)``."""
        activate_, _ = ACTIVATIONS[activation]
        out = start.new_empty(*x.shape, v.shape[1])
        starts, tile = [start], start.new_empty(min(BLOCK, len(x)), *start.shape)
        for block in blocks(len(x)):
            pre = preactivations(starts[-1], x[block], w[block], tile)
            starts.append(torch.addr(pre[-1], x[block][-1], w[block][-1]))
            torch.bmm(activate_(pre), v[block].transpose(1, 2), out=out[block])
        ctx.save_for_backward(x, w, v, *starts[:-1])
        ctx.activation = activation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w, v, *starts = ctx.saved_tensors
        activate_, times_derivative_ = ACTIVATIONS[ctx.activation]
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_w, grad_v = torch.empty_like(w), torch.empty_like(v)
        product = torch.mul if v.shape[1] == 1 else torch.bmm  # equal for one parameter, and twice as fast
        size = min(BLOCK, len(x))
        tile = grad.new_empty(size, *starts[0].shape)
        sums = grad.new_zeros(
            size + 1, *starts[0].shape
        )  # gradients of a_d and of all later ones; sums[0] of the last block
        with torch.autocast(grad.device.type, enabled=False):
            for block, start in zip(reversed(blocks(len(x))), reversed(starts), strict=True):
                h = activate_(preactivations(start, x[block], w[block], tile))
                n = len(h)
                torch.bmm(grad[block].transpose(1, 2), h, out=grad_v[block])
                sums[n] = sums[0]
                times_derivative_(product(grad[block], v[block], out=sums[:n]), h)
                for i in range(n, 0, -1):
                    sums[i - 1].add_(sums[i])
                later = sums[1 : n + 1]  # what x_d adds reaches all a_d after it
                torch.bmm(x[block].unsqueeze(1), later, out=grad_w[block].unsqueeze(1))
                if grad_x is not None:
                    torch.bmm(later, w[block].unsqueeze(2), out=grad_x[block].unsqueeze(2))
        return grad_x, sums[0].clone(), grad_w, grad_v, None


def blocks(dims: int) -> list[slice]:
    """The blocks of the dimensions."""
    return [slice(first, min(first + BLOCK, dims)) for first in range(0, dims, BLOCK)]


def preactivations(start: Tensor, x: Tensor, w: Tensor, tile: Tensor) -> Tensor:
    """a_d of a block that starts with ``start`` ``(B, H)``, given its x ``(n, B)`` and rows of W ``(n, H)``: ``(n, B, H)``,
    the first of the rows of ``tile``."""
    tile[0] = start
    for i in range(1, len(x)):
        torch.addr(tile[i - 1], x[i - 1], w[i - 1], out=tile[i])
    return tile[: len(x)]


ACTIVATIONS = {
    nn.Sigmoid: (torch.sigmoid_, lambda g, h: torch.ops.aten.sigmoid_backward.grad_input(g, h, grad_input=g)),
    nn.ReLU: (torch.relu_, lambda g, h: torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)),
}
"""What applies the activation in place, and what multiplies a gradient in place by its derivative where its value is h."""
