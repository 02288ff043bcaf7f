"""WaveNet (van den Oord, Dieleman, Zen, Simonyan, Vinyals, Graves, Kalchbrenner, Senior, Kavukcuoglu, "WaveNet: a generative
model for raw audio", 2016): dilated causal convolutions over a sequence of codes."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Sampler, require_levels
from genexp.networks.blocks.base import Block
from genexp.ranges import at_least, inside


def delayed(x: Tensor, steps: int) -> Tensor:
    """``x`` ``(B, T, C)`` later by ``steps``, with zeros in front."""
    length = x.shape[1]
    return F.pad(x[:, : max(length - steps, 0)], (0, 0, min(steps, length), 0))


class DilatedLayer(Block):
    """A causal 1x2 convolution with gates and a residual connection (figure 4 of the paper).

    Data are ``(B, T, C)``, so that each convolution is one matrix product of present and past side by side: on a CPU as fast
    as convolutions in float32, and faster in bfloat16.

    Args:
        channels: residual channels C; the gates have as many.
        dilation: distance of the two taps.
        label_width: rows of the table of labels; 0 for none.
        dropout: probability with which an output of the gates is dropped in training.
        last: without a residual connection, which nothing would use.
    """

    def __init__(self, channels: int, dilation: int, label_width: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.channels, self.dilation, self.dropout = channels, dilation, dropout
        self.gates = nn.Linear(2 * channels, 2 * channels)
        """Of the past and the present tap."""
        self.residual = None if last else nn.Linear(channels, channels)
        self.label = nn.Embedding(label_width, 2 * channels) if label_width else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.1)

    def label_terms(self, rows: Tensor | None) -> Tensor:
        """What the label adds in the gates: ``(B, 1, 2C)``; zeros ``(1, 1, 2C)`` without one. ``rows`` ``(B, F)``."""
        if self.label is None:
            return self.gates.bias.new_zeros(1, 1, 2 * self.channels)
        return self.label(rows).sum(1, keepdim=True)

    def forward(self, h: Tensor, rows: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """h ``(B, T, C)`` -> new h, None from the last layer, and the output of the gates ``(B, T, C)``."""
        gates = self.gates(torch.cat([delayed(h, self.dilation), h], dim=2))
        if self.label is not None:
            gates = gates + self.label_terms(rows)
        a, b = gates.chunk(2, dim=2)
        out = F.dropout(torch.tanh(a) * torch.sigmoid(b), self.dropout, self.training)
        return None if self.residual is None else h + self.residual(out), out


class WaveNet(AutoregressiveNetwork):
    """WaveNet over the sequence of the data, of whatever shape: equation 2 with the label as global condition.

    The first convolution takes one-hot codes, so it is a table with a row for each code and tap; zeros before the first
    code tell that there was none. A label that is made of factors, such as a digit and a speaker, adds the sum of a
    vector for each of them to the gates.

    Args:
        shape: of the data.
        num_params: parameters per dimension.
        num_classes: number of labels; 0 for an unconditional network.
        levels: number of codes.
        channels: residual channels C, as many as gates.
        skip_channels: channels of the skip connections, and between the last two 1x1 convolutions.
        layers: layers of a stack, with the dilations 1, 2, 4, ..., 2^(layers - 1).
        stacks: how often the stack is repeated.
        dropout: in [0, 1): probability with which an output of the gates is dropped in training; the paper has none.
        label_factors: sizes of the factors of a label, the last varying fastest, whose product is ``num_classes``; None for
            a label that is one. Without labels they are not used.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        channels: int,
        skip_channels: int,
        layers: int,
        stacks: int,
        dropout: float,
        label_factors: Sequence[int] | None,
    ) -> None:
        super().__init__(shape, num_params, levels)
        require_levels(levels, "WaveNet")
        at_least(1, channels=channels, skip_channels=skip_channels, layers=layers, stacks=stacks)
        inside(0, 1, ends="[)", dropout=dropout)
        self.factors = tuple(label_factors or (num_classes,)) if num_classes else ()
        if num_classes and prod(self.factors) != num_classes:
            raise ValueError(
                f"label_factors={list(self.factors)}: their product must be {num_classes}, the number of labels"
            )
        self.channels = channels
        self.in_sequence = torch.equal(self.permutation(), torch.arange(self.dims))
        self.embedding = nn.Embedding(levels, 2 * channels)
        """Of each code: what it adds two steps later, and what one step later."""
        self.bias = nn.Parameter(torch.zeros(channels))
        dilations = [2**i for i in range(layers)] * stacks
        last = len(dilations) - 1
        self.layers = nn.ModuleList(
            DilatedLayer(channels, dilation, sum(self.factors), dropout, i == last)
            for i, dilation in enumerate(dilations)
        )
        self.skip = nn.Linear(len(dilations) * channels, skip_channels)
        """The skip connections of all layers as one product, which is faster than their sum."""
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(skip_channels, skip_channels), nn.ReLU(), nn.Linear(skip_channels, num_params)
        )

    @property
    def receptive_field(self) -> int:
        """How many of the latest samples before one its distribution depends on."""
        return 2 + sum(layer.dilation for layer in self.layers)

    def label_rows(self, y: Tensor | None) -> Tensor | None:
        """The rows of the table of labels ``(B, F)`` int64 that belong to the labels ``(B,)``; None without labels."""
        if not self.factors:
            return None
        rows, first = [], sum(self.factors)
        for size in reversed(self.factors):
            first -= size
            rows.append(first + y % size)
            y = y // size
        return torch.stack(rows, dim=1)

    def codes(self, x: Tensor) -> Tensor:
        """Codes of reals in [0, 1], int64 of the same shape."""
        return (x * (self.levels - 1)).round().long()

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        x = x.flatten(1) if self.in_sequence else x.flatten(1)[:, self.permutation(order)]
        before_last, last = self.embedding(self.codes(x)).chunk(2, dim=2)
        h = delayed(before_last, 2) + delayed(last, 1) + self.bias
        rows, outputs = self.label_rows(y), []
        for layer in self.layers:
            h, out = layer(h, rows)
            outputs.append(out)
        params = self.head(self.skip(torch.cat(outputs, dim=2))).transpose(1, 2)
        if not self.in_sequence:
            params = params[:, :, self.permutation(order).argsort()]
        return params.unflatten(2, self.shape)

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        return WaveNetSampler(self, n, y)


class WaveNetSampler:
    """Sampling without recomputation, after Le Paine et al., "Fast WaveNet generation algorithm", 2016: every layer keeps its
    last ``dilation`` inputs in a ring, so that a step costs the same whatever its time.

    What the past contributes to all gates is one product for all layers. Three identities leave fewer operations:
    sigmoid(b) = (1 + tanh(b / 2)) / 2, with the halves in the weights; the biases of the residual connections are taken
    out of the inputs of the layers and into the biases of their gates; the skip connections are one product.
    """

    @torch.no_grad()
    def __init__(self, network: WaveNet, n: int, y: Tensor | None) -> None:
        layers, channels = network.layers, network.channels
        self.network = network
        self.table = network.embedding.weight.detach().clone()
        self.table[:, :channels] += network.bias
        self.before_last = network.bias.expand(n, -1).clone()
        new = self.table.new_zeros
        halves = torch.cat([new(channels) + 1, new(channels) + 0.5])
        rows = network.label_rows(y)
        past, biases, taken, starts = [], [], new(channels), []
        present, residual = [], []
        for layer in layers:
            w_past, w_present = (w.t() * halves for w in layer.gates.weight.chunk(2, dim=1))
            bias = layer.gates.bias * halves + taken @ (w_past + w_present)
            biases.append((layer.label_terms(rows)[:, 0] * halves + bias).expand(n, -1))
            past.append(w_past)
            present.append(w_present.contiguous())
            starts.append(-taken.expand(layer.dilation, n, -1))  # so that the past before the first step is zero
            if layer.residual is not None:
                residual.append((layer.residual.weight.t() / 2).contiguous())
                taken = taken + layer.residual.bias
        self.ring = torch.cat(starts)
        self.past, self.biases = torch.stack(past), torch.stack(biases)
        self.skip, self.skip_bias = (network.skip.weight.t() / 2).contiguous(), network.skip.bias
        self.head = [(layer.weight.t().contiguous(), layer.bias) for layer in (network.head[1], network.head[3])]

        dilations = torch.tensor([layer.dilation for layer in layers])
        time = torch.arange(max(dilations.tolist()))[:, None]
        self.slots = (dilations.cumsum(0) - dilations + time % dilations).to(self.ring.device).unbind()
        """Where in the ring the layers' inputs lie, at each time modulo the largest dilation."""
        self.inputs = new(len(layers), n, channels)
        self.delayed = new(len(layers), n, channels)
        self.gates = new(len(layers), n, 2 * channels)
        self.gated = new(n, len(layers) * channels)
        self.plan = list(
            zip(
                self.inputs,
                present,
                self.gates,
                *self.gates.chunk(2, dim=2),
                self.gated.chunk(len(layers), dim=1),
                [*residual, None],
                [*self.inputs[1:], None],
                strict=True,
            )
        )

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        if t == 0:
            self.inputs[0] = self.before_last
        else:
            row = F.embedding(self.network.codes(canvas[:, t - 1]), self.table)
            before_last, last = row.chunk(2, dim=1)
            torch.add(self.before_last, last, out=self.inputs[0])
            self.before_last = before_last
        slots = self.slots[t % len(self.slots)]
        torch.index_select(self.ring, 0, slots, out=self.delayed)
        torch.baddbmm(self.biases, self.delayed, self.past, out=self.gates)
        for h, present, gates, a, b, gated, residual, following in self.plan:
            gates.addmm_(h, present).tanh_()
            torch.addcmul(a, a, b, out=gated)
            if following is not None:
                torch.addmm(h, gated, residual, out=following)
        self.ring.index_copy_(0, slots, self.inputs)
        out = torch.addmm(self.skip_bias, self.gated, self.skip).relu_()
        (hidden, hidden_bias), (output, output_bias) = self.head
        return torch.addmm(output_bias, torch.addmm(hidden_bias, out, hidden).relu_(), output)
