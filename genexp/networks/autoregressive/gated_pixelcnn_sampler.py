"""Sampling from Gated PixelCNN channel by channel without recomputation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genexp.networks.autoregressive.gated_pixelcnn_layers import GatedLayer
from genexp.networks.autoregressive.raster import MaskedConv2d, bounds_of
from genexp.networks.autoregressive.raster_sampler import ColumnTaps, HeadSteps, RowTaps, matrices


def _doubled(x: Tensor, dim: int = -1) -> Tensor:
    """``x`` with twice its first half along ``dim``: what comes before a gate, so that one sigmoid serves both halves."""
    a, b = x.chunk(2, dim)
    return torch.cat([2 * a, b], dim)


class LayerSteps:
    """What a sampler keeps of a layer.

    With s = sigmoid(2a) and r = sigmoid(b), the gate tanh(a) sigmoid(b) is 2 s r - r. The sampler computes r - 2 s r; the sign
    and the factor 2 are in the weights around it. The biases of the residual connections are summed and kept apart: the
    columns of the horizontal stack hold h - shift instead of the features h. What comes before a gate has the groups one
    after another, each with both its halves.

    Args:
        layer: the layer.
        shift: the residual biases of the layers before ``(C_in,)``.
        y: labels ``(n,)``, or None.
        n: number of examples.
        width: columns W of the image.
    """

    def __init__(self, layer: GatedLayer, shift: Tensor, y: Tensor | None, n: int, width: int) -> None:
        self.groups = bounds_of(layer.mix.in_groups)
        self.pairs = [slice(2 * g.start, 2 * g.stop) for g in self.groups]
        sequence = layer.horizontal.out_groups.argsort(stable=True)
        label_v, label_h = (term[:, :, 0, 0] for term in layer.label_terms(y))

        vertical = _doubled(layer.vertical.weight, 0)
        self.rows = RowTaps(n, width, vertical if layer.first else -vertical, layer.dilation)
        self.vertical_start = _doubled(layer.vertical.bias + label_v)[:, None]
        down = layer.down.weight[:, :, 0, 0].t()
        self.down = (_doubled(down) / _doubled(torch.ones_like(down), 0))[:, sequence].contiguous()

        weight = layer.horizontal.masked
        bias = layer.horizontal.bias + label_h + torch.einsum("oikl,i->o", weight, shift)
        self.start = _doubled(bias)[:, None, sequence]
        """Where the horizontal stack begins in the first row, ``(n, 1, 2C)``, and in all others."""
        self.start_below = _doubled(bias + layer.down.bias - label_v @ down)[:, None, sequence]
        self.above = weight.new_empty(n, width, len(down))
        """What all before the present row contributes to what comes before the gate: ``(n, W, 2C)``."""
        self.horizontal = matrices(_doubled(weight, 0))[:, sequence]
        mix, c = matrices(layer.mix.masked), layer.channels
        self.residual = [(-mix[: g.stop, g]).contiguous() for g in self.groups]
        self.skip = [-mix[g, c + g.start :] for g in self.groups]
        self.residual_bias, self.skip_bias = layer.mix.bias.chunk(2)
        if not layer.first:
            self.columns = ColumnTaps(-shift.expand(n, -1), width, layer.reach + 1, layer.dilation)
            ends = [layer.reach * c + g.stop for g in self.groups]
            self.taps = [self.horizontal[:i, pair].contiguous() for i, pair in zip(ends, self.pairs, strict=True)]

    def views(self, column: int, c: int) -> tuple[Tensor, ...]:
        """Of channel c of a pixel, in a layer that is not the first: its features, what is above, taps and their weight."""
        own, window = self.columns.own(column)[:, self.groups[c]], self.columns.window(column, self.groups[c].stop)
        return own, self.above[:, column, self.pairs[c]], window, self.taps[c]


class GatedPixelCNNSampler:
    """Sampling without recomputation: the vertical stack once a row, for all its pixels; the horizontal stack once a pixel,
    for each channel its group of features; the skip connections of all layers by one matrix product. All steps together
    cost about as much arithmetic as one forward pass.

    Args:
        shape: (C, H, W).
        layers: the layers of the network, of which the first sees the image and a channel of ones.
        head: the 1x1 convolutions that follow, each after a ReLU.
        n: number of examples.
        y: their labels ``(n,)``, or None.
    """

    def __init__(
        self,
        shape: Sequence[int],
        layers: Sequence[GatedLayer],
        head: Sequence[MaskedConv2d],
        n: int,
        y: Tensor | None,
    ) -> None:
        self.n, (self.colours, self.height, self.width) = n, shape
        self.layers: list[LayerSteps] = []
        shift = layers[0].mix.bias.new_zeros(self.colours + 1)
        for layer in layers:
            self.layers.append(LayerSteps(layer, shift, y, n, self.width))
            bias = self.layers[-1].residual_bias
            shift = torch.zeros_like(bias) if layer.first else shift + bias  # no residual connection in the first
        first, channels, new = self.layers[0], layers[0].channels, shift.new_empty
        self.pairs = first.pairs
        self._prepare_first(layers[0].reach)

        # buffers: of the vertical stack for a row, of the horizontal stack for a pixel
        self.row = new(n, self.width, 2 * channels)
        self.row_halves = self.row.chunk(2, dim=2)
        pixel = new(n, 2 * channels)
        self.pixel = [(pixel[:, pair], *pixel[:, pair].chunk(2, dim=1)) for pair in self.pairs]
        self.gates = new(n, len(self.layers), channels)
        self.last_gate = [self.gates[:, -1, g] for g in first.groups]
        self.plan = [self._plan(j, c) for j in range(self.width) for c in range(self.colours)]

        self.skips = new(n, channels)
        self.skip_bias = sum(layer.skip_bias for layer in self.layers)
        self.skip = [torch.cat([layer.skip[c] for layer in self.layers]) for c in range(self.colours)]
        self.head = HeadSteps(head, n, torch.zeros_like(self.skip_bias))

    def _prepare_first(self, reach: int) -> None:
        """The first layer, whose pixels are taken from the canvas; what the channel of ones contributes is known beforehand."""
        first, self.left = self.layers[0], reach * self.colours
        pixels = first.horizontal.unflatten(0, (-1, self.colours + 1))
        ones = torch.stack([pixels[reach - min(j, reach) : reach, -1].sum(0) for j in range(self.width)])
        first.start, first.start_below = first.start + ones, first.start_below + ones
        first.rows.row[:, :, -1] = 1
        pixels = pixels[:, :-1].flatten(0, 1)
        self.first = [pixels[: self.left + c, pair].contiguous() for c, pair in enumerate(self.pairs)]

    def _plan(self, column: int, c: int) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        """What is above the first layer, and of every layer but the last: where its gate goes, the gates up to this channel,
        the features they are added to, and their weight; then the views of the next layer."""
        group, steps = self.layers[0].groups[c], []
        features = self.layers[0].residual_bias[group]
        for i, (layer, after) in enumerate(zip(self.layers[:-1], self.layers[1:], strict=True)):
            own, *views = after.views(column, c)
            known = self.gates[:, i, : group.stop]
            steps.append((self.gates[:, i, group], features, known, layer.residual[c], own, *views))
            features = own
        return self.layers[0].above[:, column, self.pairs[c]], steps

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        pixel, c = divmod(t, self.colours)
        row, column = divmod(pixel, self.width)
        if column == 0 and c == 0:
            self._start_row(canvas, row)
        addmm, addcmul = torch.addmm, torch.addcmul
        x, a, b = self.pixel[c]
        above, steps = self.plan[column * self.colours + c]
        before = t - max(t - c - self.left, row * self.width * self.colours)
        weight = self.first[c]
        addmm(above, canvas[:, t - before : t], weight[len(weight) - before :], out=x)
        for gate, features, known, residual, own, above, window, weight in steps:
            x.sigmoid_()
            addcmul(b, a, b, value=-2, out=gate)
            addmm(features, known, residual, out=own)
            addmm(above, window, weight, out=x)
        x.sigmoid_()
        addcmul(b, a, b, value=-2, out=self.last_gate[c])
        group = self.layers[0].groups[c]
        gates = self.gates[:, :, group].flatten(1)
        if c == 0:
            addmm(self.skip_bias, gates, self.skip[0], out=self.skips)
        else:
            self.skips[:, group.start :].addmm_(gates, self.skip[c])
        return self.head(self.skips[:, group], c)

    def _start_row(self, canvas: Tensor, row: int) -> None:
        """Advance the vertical stack by the row just finished, and note what it tells the horizontal stack."""
        if row == 0:
            for layer in self.layers:
                layer.above.copy_(layer.start)
            return
        x, (a, b) = self.row.flatten(0, 1), self.row_halves
        pixels = canvas.view(self.n, self.height, self.width, self.colours)[:, row - 1]
        self.layers[0].rows.row[:, :, :-1] = pixels
        for i, layer in enumerate(self.layers):
            if i > 0:
                self.row.sigmoid_()
                torch.addcmul(b, a, b, value=-2, out=layer.rows.row)
            self.row.copy_(layer.vertical_start)
            layer.rows.add_to(x)
            layer.above.copy_(layer.start_below)
            layer.above.flatten(0, 1).addmm_(x, layer.down)
