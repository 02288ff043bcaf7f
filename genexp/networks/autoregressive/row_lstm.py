"""Row LSTM: a PixelRNN that reads an image row by row (van den Oord et al. 2016, section 3.1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import Sampler
from genexp.networks.autoregressive.pixelrnn import PixelRNN, RecurrentLayer, lstm
from genexp.networks.autoregressive.pixelrnn_sampler import PixelRNNSampler, per_pixel


def with_left(maps: Tensor) -> Tensor:
    """Put the features of the pixel to the left (zeros at the border) before those of each pixel: ``(..., W, B, f)`` ->
    ``(..., W, B, 2f)``."""
    left = F.pad(maps, (0, 0, 0, 0, 1, 0)).narrow(-3, 0, maps.shape[-3])
    return torch.cat([left, maps], dim=-1)


def with_neighbours(states: Tensor) -> Tensor:
    """``(..., W, B, h)`` -> ``(..., W, B, 3h)``: the states to the left, at and to the right of each column; zero outside."""
    width = states.shape[-3]
    padded = F.pad(states, (0, 0, 0, 0, 1, 1))
    return torch.cat([padded.narrow(-3, i, width) for i in range(3)], dim=-1)


class RowLSTMLayer(RecurrentLayer):
    """An LSTM from row to row, all pixels of a row at once, whose input-to-state map is a 3x1 convolution along the row with
    mask B (of which two taps remain) and whose state-to-state map a 3x1 convolution over the states of the row above."""

    def __init__(self, hidden: int, channels: int, num_classes: int, forget_bias: float) -> None:
        super().__init__(hidden, channels, num_classes, forget_bias, directions=1, left=2 * hidden)
        self.state = nn.Linear(3 * hidden, 4 * hidden, bias=False)

    def forward(self, maps: Tensor, y: Tensor | None) -> Tensor:
        rows = self.input_to_state(with_left(maps), y).unbind(0)
        state, cell = lstm(rows[0], torch.zeros_like(rows[0][..., : self.hidden]))
        states = [state]
        for row in rows[1:]:
            state, cell = lstm(row + self.state(with_neighbours(state)), cell)
            states.append(state)
        return maps + self.up(torch.stack(states))


class RowLSTM(PixelRNN):
    """PixelRNN with Row LSTM layers.

    A pixel sees a triangle above it, which widens by a pixel a row to either side, and so not all that is before it: with L
    layers and a first kernel that reaches r, in the row k above its own the columns from j - k - L - r to j + k + r - 1, in
    its own row those from j - L - r to j - 1. Arguments: see :class:`PixelRNN`.
    """

    layer = RowLSTMLayer

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        return RowLSTMSampler(self, n, y)


class RowLSTMSampler(PixelRNNSampler):
    """The state-to-state convolution once a row, for all layers and pixels; the rest once a pixel."""

    @torch.no_grad()
    def __init__(self, network: RowLSTM, n: int, y: Tensor | None) -> None:
        weight = torch.stack([layer.input.masked.t() for layer in network.layers])
        super().__init__(network, n, y, weight)
        depth, width, features = len(network.layers), self.width, 2 * network.hidden
        self.state = self.of_gates(torch.stack([layer.state.weight.t() for layer in network.layers]))
        row = weight.new_zeros(depth, n, (width + 1) * features)  # begins with a pixel of zeros
        self.states = weight.new_zeros(depth, width, n, network.hidden)
        cells = torch.zeros_like(self.states)
        self.arrange(row.unfold(2, 2 * features, features).transpose(1, 2), self.states, cells)

    def residuals(self, canvas: Tensor, row: int) -> Tensor:
        return self.up_bias.expand(-1, self.width, self.n, -1)

    def gates(self, row: int, known: Tensor) -> Tensor:
        gates = self.bias[:, None] + per_pixel(with_left(known), self.weight)
        return gates + per_pixel(with_neighbours(self.states), self.state) if row > 0 else gates
