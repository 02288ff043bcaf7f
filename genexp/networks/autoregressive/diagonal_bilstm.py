"""Diagonal BiLSTM: a PixelRNN that sees all pixels before (van den Oord et al. 2016, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import Sampler
from genexp.networks.autoregressive.pixelrnn import PixelRNN, RecurrentLayer, lstm
from genexp.networks.autoregressive.pixelrnn_sampler import PixelRNNSampler, per_pixel


def by_diagonal(height: int, width: int) -> Tensor:
    """The flat indices of the pixels, diagonal by diagonal from the top left corner, each from top to bottom: int64 ``(HW,)``."""
    return (torch.arange(height)[:, None] + torch.arange(width)).flatten().argsort(stable=True)


def skew(maps: Tensor) -> tuple[Tensor, ...]:
    """The W + H - 1 diagonals of maps ``(N, H, W, ...)``: ``(N, K, ...)`` each, from the highest of its K pixels to the lowest;
    pixel (i, j) is on diagonal i + j. They are the columns of the skewed map of figure 3, without its empty places."""
    height, width = maps.shape[1:3]
    lengths = [min(d + 1, height, width, height + width - 1 - d) for d in range(height + width - 1)]
    return maps.flatten(1, 2).index_select(1, by_diagonal(height, width).to(maps.device)).split(lengths, dim=1)


def unskew(diagonals: Sequence[Tensor], height: int, width: int) -> Tensor:
    """The inverse of :func:`skew`: ``(N, H, W, ...)``."""
    places = by_diagonal(height, width).argsort().to(diagonals[0].device)
    return torch.cat(list(diagonals), dim=1).index_select(1, places).unflatten(1, (height, width))


class DiagonalBiLSTMLayer(RecurrentLayer):
    """Two LSTMs that go from diagonal to diagonal, one from the top left corner, one from the top right.

    A state depends on those of the pixel beside it and of the pixel above, the cell on that of the pixel beside it; the
    input-to-state map is a 1x1 convolution with mask B. The output of the LSTM from the right is shifted down by a row, since
    it has seen pixels to the right of its own.
    """

    def __init__(self, hidden: int, channels: int, num_classes: int, forget_bias: float) -> None:
        super().__init__(hidden, channels, num_classes, forget_bias, directions=2, left=0)
        self.state = nn.Parameter(torch.empty(2, 2 * hidden, 4 * hidden))
        """State-to-state weights of either direction: from the pixel beside, then from the pixel above."""
        nn.init.uniform_(self.state, -((2 * hidden) ** -0.5), (2 * hidden) ** -0.5)

    def forward(self, maps: Tensor, y: Tensor | None) -> Tensor:
        height, width, batch, _ = maps.shape
        from_left, from_right = self.input_to_state(maps, y).chunk(2, dim=-1)
        diagonals = skew(torch.stack([from_left, from_right.flip(1)]))
        state, cell = lstm(diagonals[0].flatten(1, 2), maps.new_zeros(2, batch, self.hidden))
        states = [state]
        for d, diagonal in enumerate(diagonals[1:], 1):
            size = diagonal.shape[1] * batch
            begin = batch if d >= width else 0  # from there on, each diagonal begins a row below the one before
            padded = F.pad(state, (0, 0, batch, batch))
            beside, above = padded.narrow(1, begin + batch, size), padded.narrow(1, begin, size)
            cell = F.pad(cell, (0, 0, 0, batch)).narrow(1, begin, size)
            inputs = torch.cat([beside, above], dim=-1)
            state, cell = lstm(torch.baddbmm(diagonal.flatten(1, 2), inputs, self.state), cell)
            states.append(state)
        left, right = unskew([state.unflatten(1, (-1, batch)) for state in states], height, width)
        return maps + self.up(left + F.pad(right.flip(1)[:-1], (0, 0, 0, 0, 0, 0, 1, 0)))


class DiagonalBiLSTM(PixelRNN):
    """PixelRNN with Diagonal BiLSTM layers: a pixel sees all pixels before it, in one layer.

    The maps have a column more than the image, on its right. Its features see the whole row, which otherwise the LSTM from
    the right would not: no pixel's features include the pixel itself, so the last pixel of a row would stay hidden from
    most pixels of the row below, a gap that the paper does not discuss. Arguments: see :class:`PixelRNN`.
    """

    layer = DiagonalBiLSTMLayer
    margin = 1

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        return DiagonalBiLSTMSampler(self, n, y)


class DiagonalBiLSTMSampler(PixelRNNSampler):
    """The LSTM from the left once a pixel; that from the right once a row, when it is finished, in all layers at once."""

    @torch.no_grad()
    def __init__(self, network: DiagonalBiLSTM, n: int, y: Tensor | None) -> None:
        h, layers = network.hidden, network.layers
        inputs = torch.stack([layer.input.masked.t() for layer in layers])  # (L, 2h, 8h)
        states = torch.stack([layer.state for layer in layers])
        super().__init__(network, n, y, torch.cat([states[:, 0, :h], inputs[:, :, : 4 * h]], dim=1))
        depth, width = len(layers), self.width
        self.above = self.of_gates(states[:, 0, h:])
        self.right_inputs, self.right_states = inputs[:, :, 4 * h :], states[:, 1]
        self.right_bias = torch.stack([layer.bias(y)[..., 4 * h :].expand(n, -1) for layer in layers])
        self.row = inputs.new_zeros(depth, width + 1, n, 3 * h)  # of each pixel: state to its left, features
        self.cell = inputs.new_zeros(depth, n, h)
        self.right = inputs.new_zeros(depth, width + 1, n, 2 * h)
        """Of the LSTM from the right, in the row finished last: column j + 1 holds the states to the right of and above pixel
        j."""
        self.arrange(self.row[:, :-1], self.row[:, 1:, :, :h], self.cell[:, None].expand(-1, width, -1, -1))

    def _finish_row(self, canvas: Tensor, row: int) -> None:
        for group in range(self.channels):
            self._pixel(canvas, row, self.width - 1, group)
        h, right = self.network.hidden, self.right
        features = self.known[:-1] + self.row[:, :-1, :, h:]
        gates = per_pixel(features, self.right_inputs) + self.right_bias[:, None]
        right[:, 1:, :, h:] = right[:, :-1, :, :h]
        cell = torch.zeros_like(self.cell)
        for column in range(self.width - 1, -1, -1):
            pre = torch.baddbmm(gates[:, column], right[:, column + 1], self.right_states)
            right[:, column, :, :h], cell = lstm(pre, cell)

    def residuals(self, canvas: Tensor, row: int) -> Tensor:
        if row > 0:
            self._finish_row(canvas, row - 1)
        return per_pixel(self.right[:, :-1, :, : self.network.hidden], self.up) + self.up_bias

    def gates(self, row: int, known: Tensor) -> Tensor:
        h = self.network.hidden
        self.cell.zero_()
        gates = self.bias[:, None] + per_pixel(known, self.weight[:, h:])
        return gates + per_pixel(self.row[:, 1:, :, :h], self.above) if row > 0 else gates
