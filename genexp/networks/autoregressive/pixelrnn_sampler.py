"""Sampling from a PixelRNN pixel by pixel without recomputation: what both kinds of LSTM share."""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.networks.autoregressive.pixelrnn import PixelRNN, groups


def per_pixel(maps: Tensor, weight: Tensor) -> Tensor:
    """A linear map in every layer: ``(L, W, B, f)`` and ``(L, f, g)`` -> ``(L, W, B, g)``."""
    return (maps.flatten(1, 2) @ weight).unflatten(1, maps.shape[1:3])


class PixelRNNSampler(ABC):
    """One channel of one pixel at a time.

    The features of a pixel are a sum of what is known when its row begins (``known``: what the rows above give through the
    first convolution, and through the residuals of an LSTM that has finished them) and of what the pixels to the left
    add. What is known enters the gates of all pixels and layers of a row at once (``base``), so that a pixel costs two
    small matrix products a layer: the gates, from the window of what is new, and the residual. In a colour image a
    step computes the units of one group. What it reads and writes are views that are made once, here.

    Args:
        network: the network.
        n: number of examples B.
        y: labels ``(B,)``, or None.
        weight: from the window of a pixel to the gates in each layer, ``(L, left + 2h, 4h)``: the window holds ``left``
            numbers of the pixel to the left, then the 2h features of the pixel.
    """

    def __init__(self, network: PixelRNN, n: int, y: Tensor | None, weight: Tensor) -> None:
        self.network, self.n, self.depth = network, n, len(network.layers)
        self.channels, self.height, self.image_width = network.shape
        self.width = self.image_width + network.margin
        h, layers = network.hidden, network.layers
        self.gate_order = groups(h, self.channels).repeat(4).argsort(stable=True).to(weight.device)
        self.unit_ends, self.feature_ends = self.ends(h), self.ends(2 * h)
        self.weight = self.of_gates(weight)
        self.bias = self.of_gates(torch.stack([layer.bias(y)[..., : 4 * h].expand(n, -1) for layer in layers]))
        self.up = torch.stack([layer.up.masked.t() for layer in layers])
        self.up_bias = torch.stack([layer.up.bias for layer in layers])[:, None, None]
        self.known = weight.new_zeros(self.depth + 1, self.width, n, 2 * h)
        self.base = weight.new_zeros(self.depth, self.width, n, 4 * h)
        self._prepare_first(weight)
        self._prepare_head(weight)

    def ends(self, width: int) -> list[int]:
        """Where the groups of so many units begin, and the last ends."""
        return [0, *groups(width, self.channels).bincount().cumsum(0).tolist()]

    def of_gates(self, x: Tensor) -> Tensor:
        """``(..., 4h)``, gate by gate -> the same group by group, and gate by gate (o, f, i, g) within each."""
        return x.index_select(-1, self.gate_order)

    # --- what the kinds of LSTM give ------------------------------------------------------------------

    @abstractmethod
    def residuals(self, canvas: Tensor, row: int) -> Tensor:
        """What each layer adds to the features of the pixels of ``row``, as far as the rows above tell: ``(L, W, B, 2h)``.
        Called once for each row, when those above are drawn."""

    @abstractmethod
    def gates(self, row: int, known: Tensor) -> Tensor:
        """What enters the gates in ``row`` as far as the rows above tell, ``(L, W, B, 4h)`` in the order of :meth:`of_gates`:
        from the features ``known`` ``(L, W, B, 2h)``, from states, and the bias."""

    # --- preparation ----------------------------------------------------------------------------------

    def _prepare_first(self, weight: Tensor) -> None:
        """Divide the first convolution into the rows above and, by how many pixels there are to the left and by group, the
        present row."""
        c, r, masked = self.channels, self.network.first.reach, self.network.first.masked
        self.rows_above = masked[:, :, :-1]
        self.image = weight.new_zeros(self.n, c, self.height + r, self.width + 2 * r)
        in_row = masked[:, :, -1, : r + 1].permute(2, 1, 0).flatten(0, 1)  # pixel by pixel: ((r + 1) C, 2h)
        self.in_row = [
            [in_row[(r - k) * c : r * c + g, a:b].contiguous() for g, (a, b) in enumerate(pairwise(self.feature_ends))]
            for k in range(r + 1)
        ]

    def _prepare_head(self, weight: Tensor) -> None:
        """List for every group what each 1x1 convolution reads and writes."""
        head, p = self.network.head, self.network.num_params
        buffers = [weight.new_zeros(self.n, layer.in_features) for layer in head]
        ends = [*(self.ends(layer.in_features) for layer in head), range(0, p * self.channels + 1, p)]
        self.out, self.head = buffers[0], []
        for g in range(self.channels):
            steps = []
            for i, layer in enumerate(head):
                seen, mine = ends[i][g + 1], slice(ends[i + 1][g], ends[i + 1][g + 1])
                target = buffers[i + 1][:, mine] if layer is not head[-1] else None
                masked = layer.masked[mine, :seen].t().contiguous()
                steps.append((layer.bias[mine], buffers[i][:, :seen], masked, target))
            self.head.append(steps)

    def arrange(self, windows: Tensor, states: Tensor, cells: Tensor) -> None:
        """List for every pixel of a row and every group what each layer reads and writes.

        Args:
            windows: ``(L, W, B, left + 2h)``, the windows, which may overlap.
            states: ``(L, W, B, h)``, where states go.
            cells: ``(L, W, B, h)``, where the cell before a pixel is found and its own goes, in its place.
        """
        left = windows.shape[-1] - 2 * self.network.hidden
        features = [*windows[..., left:], self.out.expand(self.width, -1, -1)]
        self.inputs, self.layers, self.outs = [], [], []
        of_group = []
        for (a, b), (p, q) in zip(pairwise(self.unit_ends), pairwise(self.feature_ends), strict=True):
            pre = windows.new_empty(self.n, 4 * (b - a))
            gates = [w[: left + q, 4 * a : 4 * b].contiguous() for w in self.weight]
            of_group.append((a, b, p, q, pre, gates, [w[:b, p:q].contiguous() for w in self.up]))
        for column in range(self.width):
            for a, b, p, q, pre, gates, up in of_group:
                base = [x[column, :, 4 * a : 4 * b] for x in self.base]
                window = [x[column, :, : left + q] for x in windows]
                parts = [(pre, pre[:, : 3 * (b - a)], *pre.chunk(4, dim=1))] * self.depth
                cell = [x[column, :, a:b] for x in cells]
                state = [x[column, :, a:b] for x in states]
                seen = [x[column, :, :b] for x in states]
                maps = [x[column, :, p:q] for x in features]
                layers = zip(base, window, gates, parts, cell, state, seen, up, maps[:-1], maps[1:], strict=True)
                self.layers.append(list(layers))
                self.inputs.append(maps[0])
                self.outs.append((self.out[:, p:q], self.known[-1, column, :, p:q]))

    # --- sampling -------------------------------------------------------------------------------------

    @torch.no_grad()
    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        pixel, g = divmod(t, self.channels)
        row, column = divmod(pixel, self.image_width)
        if column == 0 and g == 0:
            with torch.autocast(canvas.device.type, enabled=False):
                self._start_row(canvas, row)
        self._pixel(canvas, row, column, g)
        out, known = self.outs[column * self.channels + g]
        out.add_(known).relu_()
        for bias, seen, weight, target in self.head[g][:-1]:
            torch.addmm(bias, seen, weight, out=target).relu_()
        bias, seen, weight, _ = self.head[g][-1]
        return torch.addmm(bias, seen, weight)

    def _start_row(self, canvas: Tensor, row: int) -> None:
        """Note what the rows above tell the pixels of ``row``."""
        r = self.network.first.reach
        if row > 0:
            x = canvas.view(self.n, self.height, self.image_width, self.channels)[:, row - 1]
            self.image[:, :, row - 1 + r, r : r + self.image_width] = x.transpose(1, 2)
        first = F.conv2d(self.image[:, :, row : row + r], self.rows_above, self.network.first.bias)
        known = torch.cat([first.permute(2, 3, 0, 1), self.residuals(canvas, row)])
        torch.cumsum(known, dim=0, out=self.known)
        self.base.copy_(self.gates(row, self.known[:-1]))

    def _pixel(self, canvas: Tensor, row: int, column: int, g: int) -> None:
        """Group ``g`` of all layers at one pixel."""
        c = self.channels
        index, pixel = column * c + g, (row * self.image_width + column) * c
        left = min(column, self.network.first.reach)
        weight, seen = self.in_row[left][g], g
        if column == self.image_width:  # right of the image there are no channels
            weight, seen = weight[: left * c], 0
        torch.mm(canvas[:, pixel - left * c : pixel + seen], weight, out=self.inputs[index])
        for base, window, weight, parts, cell, state, states, up, features, out in self.layers[index]:
            pre, gates, o, f, i, content = parts
            torch.addmm(base, window, weight, out=pre)
            gates.sigmoid_()
            content.tanh_()
            cell.mul_(f).addcmul_(i, content)
            torch.tanh(cell, out=state).mul_(o)
            torch.addmm(features, states, up, out=out)
