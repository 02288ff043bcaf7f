"""Gated PixelCNN with a vertical and a horizontal stack (van den Oord et al., "Conditional image generation with PixelCNN
decoders", NeurIPS 2016), for images of any number of channels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Decoder, require_images
from genexp.networks.autoregressive.raster import (
    ColumnTaps,
    HeadSteps,
    MaskedConv2d,
    RowTaps,
    bounds_of,
    groups_of,
    matrices,
    pointwise,
)
from genexp.networks.blocks.base import Block


def _gate(x: Tensor) -> Tensor:
    """tanh(a) * sigmoid(b) of the two halves of the features ``x`` (equation 2)."""
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


class GatedLayer(Block):
    """One layer of both stacks (figure 2 of the paper), with a skip connection to the output.

    Row i of the vertical stack sees the rows up to i, a pixel of the horizontal stack sees itself and those to the
    left; what the horizontal stack receives from the vertical one is shifted down by a row. Together they see all
    pixels before (i, j), without a blind spot. The features of the horizontal stack are divided into one group per channel
    of the image, with masks at the present pixel; those of the vertical stack are not, since whole rows precede it.

    Args:
        inputs: group of each input of the horizontal stack.
        groups: group of each of the C features; their number is that of both stacks.
        kernel: odd width k of the full kernel; the vertical stack uses its (k + 1) / 2 upper rows.
        dilation: distance between the taps.
        num_classes: number of labels, 0 for none.
        first: the first layer has mask A, and no residual connection.
    """

    def __init__(
        self, inputs: Tensor, groups: Tensor, kernel: int, dilation: int, num_classes: int, first: bool
    ) -> None:
        super().__init__()
        channels = len(groups)
        self.channels, self.dilation, self.first = channels, dilation, first
        self.reach = kernel // 2
        self.vertical = nn.Conv2d(len(inputs), 2 * channels, (self.reach + 1, kernel), dilation=dilation)
        halves = groups.repeat(2)
        self.ahead = first and int(groups.max()) == 0
        """Mask A of a single channel leaves nothing of the present pixel, so the horizontal kernel ends before it."""
        taps = self.reach + (0 if self.ahead else 1)
        self.horizontal = MaskedConv2d(inputs, halves, (1, taps), present=self.reach, own=not first, dilation=dilation)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.mix = pointwise(groups, halves)
        """Residual and skip connection side by side."""
        self.label = nn.Embedding(num_classes, 4 * channels) if num_classes else None

    def label_terms(self, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the label adds in the gates of the two stacks: ``(B, 2C, 1, 1)`` each; zeros ``(1, ...)`` without one."""
        terms = self.mix.weight.new_zeros(1, 4 * self.channels) if self.label is None else self.label(y)
        return terms[:, :, None, None].chunk(2, dim=1)

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """v, h ``(B, C_in, H, W)`` -> new v, new h, skip, all ``(B, C, H, W)``."""
        label_v, label_h = self.label_terms(y)
        m = self.reach * self.dilation
        v_pre = self.vertical(F.pad(v, (m, m, m, 0)))
        left = F.pad(h, (m, -self.dilation if self.ahead else 0, 0, 0))
        from_above = F.pad(self.down(v_pre), (0, 0, 1, -1))
        out = self.mix(_gate(self.horizontal(left) + from_above + label_h))
        residual, skip = out.chunk(2, dim=1)
        return _gate(v_pre + label_v), residual if self.first else h + residual, skip


class GatedPixelCNN(AutoregressiveNetwork):
    """Gated PixelCNN in raster order, pixel by pixel and channel by channel within a pixel.

    Args:
        shape: (C, H, W).
        num_params: parameters P per dimension.
        num_classes: number of labels; 0 for an unconditional network. Labels enter every gate (equation 4).
        channels: features of both stacks, at least C.
        first_kernel: odd kernel width of the first layer.
        kernel: odd kernel width of the further layers.
        dilations: dilation of each further layer, at least 1; their number is the depth.
        head_channels: features of the 1x1 convolution before the output, at least C.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        channels: int,
        first_kernel: int,
        kernel: int,
        dilations: Sequence[int],
        head_channels: int,
    ) -> None:
        super().__init__(tuple(shape), num_params)
        colours, _, _ = require_images(self.shape, "GatedPixelCNN")
        for name, width in (("first_kernel", first_kernel), ("kernel", kernel)):
            if width < 3 or width % 2 == 0:
                raise ValueError(f"{name}={width}: must be odd and at least 3")
        if any(d < 1 for d in dilations):
            raise ValueError(f"dilations={list(dilations)}: must be at least 1 each")
        groups, head = groups_of(channels, colours, "channels"), groups_of(head_channels, colours, "head_channels")
        inputs, out = torch.arange(colours + 1), torch.arange(colours).repeat_interleave(num_params)
        first = GatedLayer(inputs, groups, first_kernel, 1, num_classes, first=True)
        rest = [GatedLayer(groups, groups, kernel, d, num_classes, first=False) for d in dilations]
        self.layers = nn.ModuleList([first, *rest])
        self.head = nn.Sequential(nn.ReLU(), pointwise(groups, head), nn.ReLU(), pointwise(head, out))
        self.to(memory_format=torch.channels_last)  # 5 times as fast on a CPU

    @staticmethod
    def with_border(x: Tensor) -> Tensor:
        """Append a channel of ones, so that the zero padding can be told from a dark pixel: ``(B, C + 1, H, W)``."""
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        v = h = self.with_border(x)
        skips = 0
        for layer in self.layers:
            v, h, skip = layer(v, h, y)
            skips = skips + skip
        colours, *size = self.shape
        return self.head(skips).view(-1, colours, self.num_params, *size).transpose(1, 2)

    def decoder(self, n: int, y: Tensor | None, order: int = 0) -> Decoder:
        with torch.no_grad(), torch.autocast(self.head[1].weight.device.type, enabled=False):
            return IncrementalDecoder(self, n, y)


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


class IncrementalDecoder:
    """Sampling without recomputation: the vertical stack once a row, for all its pixels; the horizontal stack once a pixel,
    for each channel its group of features; the skip connections of all layers by one matrix product. All steps together
    cost about as much arithmetic as one forward pass."""

    def __init__(self, network: GatedPixelCNN, n: int, y: Tensor | None) -> None:
        self.n, (self.colours, self.height, self.width) = n, network.shape
        self.layers: list[LayerSteps] = []
        shift = network.layers[0].mix.bias.new_zeros(self.colours + 1)
        for layer in network.layers:
            self.layers.append(LayerSteps(layer, shift, y, n, self.width))
            bias = self.layers[-1].residual_bias
            shift = torch.zeros_like(bias) if layer.first else shift + bias  # no residual connection in the first
        first, channels, reach, new = (
            self.layers[0],
            network.layers[0].channels,
            network.layers[0].reach,
            shift.new_empty,
        )
        self.pairs, self.left = first.pairs, reach * self.colours

        # first layer: the pixels are taken from the canvas; what the channel of ones contributes is known beforehand
        pixels = first.horizontal.unflatten(0, (-1, self.colours + 1))
        ones = [pixels[reach - min(j, reach) : reach, -1].sum(0) for j in range(self.width)]
        first.start, first.start_below = (start + torch.stack(ones) for start in (first.start, first.start_below))
        first.rows.row[:, :, -1] = 1
        pixels = pixels[:, :-1].flatten(0, 1)
        self.first = [pixels[: self.left + c, pair].contiguous() for c, pair in enumerate(self.pairs)]

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
        head = [layer for layer in network.head if isinstance(layer, MaskedConv2d)]
        self.head = HeadSteps(head, n, torch.zeros_like(self.skip_bias))

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
