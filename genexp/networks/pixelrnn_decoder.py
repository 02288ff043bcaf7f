"""Sampling from a PixelRNN pixel by pixel without recomputation: what both kinds of LSTM share."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.networks.pixelrnn import PixelRNN, groups


def per_pixel(maps: Tensor, weight: Tensor) -> Tensor:
    """A linear map in every layer: ``(L, W, B, f)`` and ``(L, f, g)`` -> ``(L, W, B, g)``."""
    return (maps.flatten(1, 2) @ weight).unflatten(1, maps.shape[1:3])


class PixelRNNDecoder(ABC):
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
        first = self.network.first
        r, masked = first.reach, first.masked
        self.rows_above = masked[:, :, :-1]
        self.image = weight.new_zeros(self.n, self.channels, self.height + r, self.width + 2 * r)
        in_row = masked[:, :, -1, : r + 1].permute(2, 1, 0).flatten(0, 1)  # pixel by pixel: ((r + 1) C, 2h)
        c = self.channels
        self.in_row = [
            [in_row[(r - k) * c : r * c + g, slice(*self.feature_ends[g : g + 2])].contiguous() for g in range(c)]
            for k in range(r + 1)
        ]  # by how many pixels there are to the left, and by group

    def _prepare_head(self, weight: Tensor) -> None:
        widths = [layer.in_features for layer in self.network.head]
        buffers = [weight.new_zeros(self.n, width) for width in widths]
        ends = [
            *(self.ends(width) for width in widths),
            [i * self.network.num_params for i in range(self.channels + 1)],
        ]
        self.out = buffers[0]
        self.first_relu, self.head = [], []
        for g in range(self.channels):
            steps = []
            for i, layer in enumerate(self.network.head):
                mine, seen = slice(*ends[i + 1][g : g + 2]), ends[i][g + 1]
                target = buffers[i + 1][:, mine] if i + 1 < len(buffers) else None
                steps.append(
                    (layer.bias[mine], buffers[i][:, :seen], layer.masked[mine, :seen].t().contiguous(), target)
                )
            self.head.append(steps)

    def arrange(self, windows: Tensor, states: Tensor, cells: Tensor) -> None:
        """List for every pixel and group what each layer reads and writes.

        Args:
            windows: ``(L, W, B, left + 2h)``, the windows of all pixels of a row, which may overlap.
            states: ``(L, W, B, h)``, where states go.
            cells: ``(L, W, B, h)``, where the cell before a pixel is found and its own goes, in its place.
        """
        left = windows.shape[-1] - 2 * self.network.hidden
        features = [*windows[..., left:], self.out.expand(self.width, -1, -1)]
        pres = [
            windows.new_empty(self.n, 4 * (b - a)) for a, b in zip(self.unit_ends, self.unit_ends[1:], strict=False)
        ]
        self.inputs, self.plan, self.outs = [], [], []
        weights = {}
        for column in range(self.width):
            for g in range(self.channels):
                (a, b), (p, q) = self.unit_ends[g : g + 2], self.feature_ends[g : g + 2]
                steps = []
                for i in range(self.depth):
                    if (i, g) not in weights:
                        gates = self.weight[i, : left + q, 4 * a : 4 * b].contiguous()
                        weights[i, g] = gates, self.up[i, :b, p:q].contiguous()
                    gates, up = weights[i, g]
                    steps.append(
                        (
                            self.base[i, column, :, 4 * a : 4 * b],
                            windows[i, column, :, : left + q],
                            gates,
                            pres[g],
                            pres[g][:, : 3 * (b - a)],
                            pres[g].chunk(4, dim=1),
                            cells[i, column, :, a:b],
                            states[i, column, :, a:b],
                            states[i, column, :, :b],
                            up,
                            features[i][column, :, p:q],
                            features[i + 1][column, :, p:q],
                        )
                    )
                self.plan.append(steps)
                self.inputs.append(features[0][column, :, p:q])
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
        pixel = (row * self.image_width + column) * self.channels
        left = min(column, self.network.first.reach)
        weight = self.in_row[left][g]
        if column == self.image_width:  # right of the image, where no channel is drawn
            weight, g_seen = weight[: left * self.channels], 0
        else:
            g_seen = g
        index = column * self.channels + g
        torch.mm(canvas[:, pixel - left * self.channels : pixel + g_seen], weight, out=self.inputs[index])
        for base, window, weight, pre, gates, (_o, f, i, content), cell, state, states, up, before, after in self.plan[
            index
        ]:
            torch.addmm(base, window, weight, out=pre)
            gates.sigmoid_()
            content.tanh_()
            cell.mul_(f).addcmul_(i, content)
            torch.tanh(cell, out=state).mul_(_o)
            torch.addmm(before, states, up, out=after)
