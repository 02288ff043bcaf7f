"""What the two PixelRNNs share (van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks", ICML 2016).

Maps lie as ``(H, W, B, channels)``, so that a row or a diagonal of a whole batch is one block of memory. Channels of the
image are predicted in their order R, G, B: the units of every map fall into as many groups, of which group c sees the
channels before the c-th of its own pixel, and all channels of the pixels before it (section 3.4).
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, require_images
from genexp.networks.blocks.base import Block
from genexp.ranges import at_least


def groups(width: int, channels: int) -> Tensor:
    """The group of each of ``width`` units, in {0, ..., channels - 1}, rising and of nearly equal sizes: int64 ``(width,)``."""
    return torch.arange(width) * channels // width


def lstm(pre: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of an LSTM (equation 3): pre-activations of the gates o, f, i, g side by side ``(..., 4h)`` and the cell before
    it ``(..., h)`` -> state and cell, ``(..., h)`` each."""
    h = cell.shape[-1]
    gates, content = pre.split([3 * h, h], dim=-1)
    o, f, i = torch.sigmoid(gates).chunk(3, dim=-1)
    cell = f * cell + i * torch.tanh(content)
    return o * torch.tanh(cell), cell


class MaskedLinear(nn.Linear):
    """A linear map in which a unit sees the inputs whose place is not above its own: mask B, on the channels of a pixel.

    Args:
        inputs: place of each input, int64 ``(in,)``: its group; -1 for those of earlier pixels, which all may see.
        outputs: place of each output, int64 ``(out,)``.
    """

    def __init__(self, inputs: Tensor, outputs: Tensor) -> None:
        super().__init__(len(inputs), len(outputs))
        self.register_buffer("mask", outputs[:, None] >= inputs, persistent=False)

    @property
    def masked(self) -> Tensor:
        """The weights that count: ``(out, in)``."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.masked, self.bias)


class FirstConvolution(nn.Conv2d):
    """The convolution with mask A at the input, of whose kernel only the rows that may be seen are kept.

    Args:
        channels: channels C of the image.
        features: channels of the output.
        kernel: odd width k of the full kernel.
        margin: further columns of the output, right of the image.
    """

    def __init__(self, channels: int, features: int, kernel: int, margin: int) -> None:
        self.reach, self.margin = kernel // 2, margin
        super().__init__(channels, features, (self.reach + 1, kernel))
        places = torch.full((channels, self.reach + 1, kernel), -1)
        places[:, -1, self.reach] = torch.arange(channels) + 1  # mask A: a channel of this pixel is for later groups
        places[:, -1, self.reach + 1 :] = channels
        mask = groups(features, channels)[:, None, None, None] >= places
        self.register_buffer("mask", mask, persistent=False)

    @property
    def masked(self) -> Tensor:
        """The weights that count: ``(features, C, k // 2 + 1, k)``."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> ``(H, W + margin, B, features)``."""
        r = self.reach
        return F.conv2d(F.pad(x, (r, r + self.margin, r, 0)), self.masked, self.bias).permute(2, 3, 0, 1)


class RecurrentLayer(Block):
    """What an LSTM layer has beside its recurrence: the input-to-state map, the label, the way back into the residual.

    The maps between layers have 2h features, the LSTM h; a masked 1x1 convolution widens its output to 2h, to which the
    input of the layer is added (section 3.3). A label adds a bias to all gates, which the paper has not.

    Args:
        hidden: width h of the LSTM.
        channels: channels of the image.
        num_classes: number of labels, 0 for none.
        forget_bias: initial bias of the forget gates.
        directions: how many LSTMs read the input.
        left: how many features of the pixel to the left the input-to-state map sees beside the 2h of the pixel.
    """

    def __init__(
        self, hidden: int, channels: int, num_classes: int, forget_bias: float, directions: int, left: int
    ) -> None:
        super().__init__()
        self.hidden = hidden
        units, features = groups(hidden, channels), groups(2 * hidden, channels)
        self.input = MaskedLinear(torch.cat([torch.full((left,), -1), features]), units.repeat(4 * directions))
        self.up = MaskedLinear(units, features)
        self.label = nn.Embedding(num_classes, 4 * directions * hidden) if num_classes else None
        with torch.no_grad():
            self.input.bias.view(directions, 4, hidden)[:, 1] = forget_bias
            if self.label is not None:
                self.label.weight.zero_()  # the gates begin where they would without labels

    def bias(self, y: Tensor | None) -> Tensor:
        """What is added to the gates of every pixel: ``(B, 4h * directions)``, or without the batch if there are no labels."""
        return self.input.bias if self.label is None else self.input.bias + self.label(y)

    def input_to_state(self, maps: Tensor, y: Tensor | None) -> Tensor:
        """``(H, W, B, left + 2h)`` -> ``(H, W, B, 4h * directions)``."""
        return F.linear(maps, self.input.masked) + self.bias(y)

    @abstractmethod
    def forward(self, maps: Tensor, y: Tensor | None) -> Tensor:
        """``(H, W, B, 2h)`` -> ``(H, W, B, 2h)``."""


class PixelRNN(AutoregressiveNetwork):
    """A masked convolution, LSTM layers in residual blocks, and three masked 1x1 convolutions, each after a ReLU (table 1).

    Differs from the paper in that the last 1x1 convolution, which gives the parameters, comes on top of the two of the table;
    that only residual connections are made, no skip connections to the output; and in the biases: those of the forget
    gates begin at ``forget_bias`` (at 1 an LSTM keeps by and large what it has over several pixels before it has
    learnt when to forget: Jozefowicz, Zaremba, Sutskever, ICML 2015), and labels add to those of the gates.

    Args:
        shape: (C, H, W).
        num_params: parameters P of each channel of a pixel.
        num_classes: number of labels; 0 for an unconditional network.
        levels: see :class:`AutoregressiveNetwork`.
        hidden: width h of each LSTM, at least C; the maps between have 2h channels.
        layers: number of LSTM layers, at least 1.
        first_kernel: odd kernel width of the first convolution, at least 3; the paper has 7.
        head_channels: width of the 1x1 convolutions before the output, at least C.
        forget_bias: initial bias of the forget gates.
    """

    layer: type[RecurrentLayer]
    margin = 0
    """Columns that the maps have right of the image."""

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        hidden: int,
        layers: int,
        first_kernel: int,
        head_channels: int,
        forget_bias: float,
    ) -> None:
        channels, _, _ = require_images(shape, type(self).__name__)
        super().__init__(shape, num_params, levels)
        at_least(channels, hint=", a unit for each channel of the image", hidden=hidden, head_channels=head_channels)
        at_least(1, layers=layers)
        if first_kernel < 3 or first_kernel % 2 == 0:
            raise ValueError(f"first_kernel={first_kernel}: must be odd and at least 3")
        self.hidden = hidden
        self.first = FirstConvolution(channels, 2 * hidden, first_kernel, self.margin)
        self.layers = nn.ModuleList(
            self.layer(hidden=hidden, channels=channels, num_classes=num_classes, forget_bias=forget_bias)
            for _ in range(layers)
        )
        features, head = groups(2 * hidden, channels), groups(head_channels, channels)
        params = torch.arange(channels).repeat_interleave(num_params)
        self.head = nn.ModuleList([MaskedLinear(features, head), MaskedLinear(head, head), MaskedLinear(head, params)])

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        channels, _, width = self.shape
        maps = self.first(x).contiguous()
        for layer in self.layers:
            maps = layer(maps, y)
        out = maps[:, :width]
        for linear in self.head:
            out = linear(F.relu(out))
        return out.unflatten(-1, (channels, self.num_params)).permute(2, 4, 3, 0, 1)
