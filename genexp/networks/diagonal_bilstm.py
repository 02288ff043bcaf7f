"""Diagonal BiLSTM: a PixelRNN that sees all pixels before (van den Oord et al. 2016, section 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive import Decoder
from genexp.networks.pixelrnn import PixelRNN, RecurrentLayer, lstm
from genexp.networks.pixelrnn_decoder import PixelRNNDecoder, per_pixel


def skew(maps: Tensor) -> Tensor:
    """Shift row i to the right by i, so that the diagonals become columns (figure 3): ``(N, H, W, ...)`` ->
    ``(N, H, W + H - 1, ...)``, zeros elsewhere."""
    height = maps.shape[1]
    padded = F.pad(maps, (0, 0) * (maps.ndim - 3) + (0, height)).flatten(1, 2)
    return padded[:, :-height].unflatten(1, (height, -1))


def unskew(maps: Tensor) -> Tensor:
    """Back: ``(N, H, W + H - 1, ...)`` -> ``(N, H, W, ...)``."""
    height = maps.shape[1]
    padded = F.pad(maps.flatten(1, 2), (0, 0) * (maps.ndim - 3) + (0, height))
    return padded.unflatten(1, (height, -1))[:, :, :-height]


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
        height, _, batch, _ = maps.shape
        from_left, from_right = self.input_to_state(maps, y).chunk(2, dim=-1)
        # Positions that are skewed in, left of the first column, have gates of zero, and so states of zero
        diagonals = skew(torch.stack([from_left, from_right.flip(1)])).movedim(2, 0).flatten(2, 3)
        state, cell = lstm(diagonals[0], torch.zeros_like(diagonals[0][..., : self.hidden]))
        states = [state]
        for diagonal in diagonals.unbind(0)[1:]:
            above = F.pad(state[:, : (height - 1) * batch], (0, 0, batch, 0))
            state, cell = lstm(torch.baddbmm(diagonal, torch.cat([state, above], dim=-1), self.state), cell)
            states.append(state)
        left, right = unskew(torch.stack(states).unflatten(2, (height, batch)).movedim(0, 2))
        return maps + self.up(left + F.pad(right.flip(1)[:-1], (0, 0, 0, 0, 0, 0, 1, 0)))


class DiagonalBiLSTM(PixelRNN):
    """PixelRNN with Diagonal BiLSTM layers: a pixel sees all pixels before it, in one layer.

    The maps have a column more than the image, on its right. Its features see the whole row, which otherwise the LSTM from
    the right would not: no pixel's features include the pixel itself, so the last pixel of a row would stay hidden from
    most pixels of the row below, a gap that the paper does not discuss. Arguments: see :class:`PixelRNN`.
    """

    layer = DiagonalBiLSTMLayer
    margin = 1

    def decoder(self, n: int, y: Tensor | None, order: int = 0) -> Decoder:
        return DiagonalBiLSTMDecoder(self, n, y)


class DiagonalBiLSTMDecoder(PixelRNNDecoder):
    """The LSTM from the left once a pixel; that from the right once a row, when it is finished, in all layers at once."""

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

    def finish_row(self, canvas: Tensor, row: int) -> None:
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

    def residuals(self, row: int) -> Tensor:
        return per_pixel(self.right[:, :-1, :, : self.network.hidden], self.up) + self.up_bias

    def gates(self, row: int, known: Tensor) -> Tensor:
        h = self.network.hidden
        self.cell.zero_()
        gates = self.bias[:, None] + per_pixel(known, self.weight[:, h:])
        return gates + per_pixel(self.row[:, 1:, :, :h], self.above) if row > 0 else gates
