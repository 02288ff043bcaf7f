"""Gated PixelCNN with a vertical and a horizontal stack (van den Oord et al., "Conditional image generation with PixelCNN
decoders", NeurIPS 2016), for images of one channel."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive import AutoregressiveNetwork, Decoder
from genexp.networks.block import Block


def _gate(x: Tensor, dim: int = 1) -> Tensor:
    """tanh(a) * sigmoid(b) of the two halves of ``x`` along ``dim`` (equation 2)."""
    a, b = x.chunk(2, dim)
    return torch.tanh(a) * torch.sigmoid(b)


class GatedLayer(Block):
    """One layer of both stacks (figure 2 of the paper), with a skip connection to the output.

    Row i of the vertical stack sees the rows up to i, a pixel of the horizontal stack sees itself and those to the
    left; what the horizontal stack receives from the vertical one is shifted down by a row. Together they see all
    pixels before (i, j), without a blind spot.

    Args:
        channels: channels C of both stacks.
        kernel: odd width k of the full kernel; the vertical stack uses its (k + 1) / 2 upper rows.
        dilation: distance between the taps.
        num_classes: number of labels, 0 for none.
        in_channels: channels of the input; ``channels`` except in the first layer.
        first: the first layer excludes the present pixel (mask A) and has no residual connection.
    """

    def __init__(
        self, channels: int, kernel: int, dilation: int, num_classes: int, in_channels: int, first: bool
    ) -> None:
        super().__init__()
        self.channels, self.dilation, self.first = channels, dilation, first
        self.reach = kernel // 2
        self.vertical = nn.Conv2d(in_channels, 2 * channels, (self.reach + 1, kernel), dilation=dilation)
        taps = self.reach + (0 if first else 1)
        self.horizontal = nn.Conv2d(in_channels, 2 * channels, (1, taps), dilation=dilation)
        self.down = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.mix = nn.Conv2d(channels, 2 * channels, 1)
        """Residual and skip connection side by side."""
        self.label = nn.Embedding(num_classes, 4 * channels) if num_classes else None

    @property
    def margin(self) -> int:
        """How far the kernel reaches: rows above, columns to either side."""
        return self.reach * self.dilation

    def label_terms(self, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the label adds in the gates of the two stacks: ``(B, 2C, 1, 1)`` each; zeros ``(1, ...)`` without one."""
        if self.label is None:
            terms = self.mix.weight.new_zeros(1, 4 * self.channels)
        else:
            terms = self.label(y)
        return terms[:, :, None, None].chunk(2, dim=1)

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """v, h ``(B, C_in, H, W)`` -> new v, new h, skip, all ``(B, C, H, W)``."""
        label_v, label_h = self.label_terms(y)
        m = self.margin
        v_pre = self.vertical(F.pad(v, (m, m, m, 0)))
        left = F.pad(h, (m, -self.dilation if self.first else 0, 0, 0))
        from_above = F.pad(self.down(v_pre), (0, 0, 1, -1))
        out = self.mix(_gate(self.horizontal(left) + from_above + label_h))
        residual, skip = out.chunk(2, dim=1)
        return _gate(v_pre + label_v), residual if self.first else h + residual, skip


class GatedPixelCNN(AutoregressiveNetwork):
    """Gated PixelCNN in raster order.

    Args:
        shape: (1, H, W).
        num_params: parameters per pixel.
        num_classes: number of labels; 0 for an unconditional network. Labels enter every gate (equation 4).
        channels: channels of both stacks.
        first_kernel: odd kernel width of the first layer.
        kernel: odd kernel width of the further layers.
        dilations: dilation of each further layer; their number is the depth.
        head_channels: channels of the 1x1 convolution before the output.
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
        if len(self.shape) != 3 or self.shape[0] != 1:
            raise ValueError(
                f"GatedPixelCNN models images of one channel, shape (1, H, W): data.shape is {list(shape)}"
            )
        for name, width in (("first_kernel", first_kernel), ("kernel", kernel)):
            if width < 3 or width % 2 == 0:
                raise ValueError(f"{name}={width}: must be odd and at least 3")
        first = GatedLayer(channels, first_kernel, 1, num_classes, in_channels=2, first=True)
        rest = [GatedLayer(channels, kernel, d, num_classes, in_channels=channels, first=False) for d in dilations]
        self.layers = nn.ModuleList([first, *rest])
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, head_channels, 1),
            nn.ReLU(),
            nn.Conv2d(head_channels, num_params, 1),
        )
        self.to(memory_format=torch.channels_last)  # 5 times as fast on a CPU

    @staticmethod
    def with_border(x: Tensor) -> Tensor:
        """Append a channel of ones, so that the zero padding can be told from a dark pixel: ``(B, 2, H, W)``."""
        return torch.cat([x, torch.ones_like(x)], dim=1)

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        v = h = self.with_border(x)
        skips = 0
        for layer in self.layers:
            v, h, skip = layer(v, h, y)
            skips = skips + skip
        return self.head(skips).view(-1, self.num_params, *self.shape)

    def decoder(self, n: int, y: Tensor | None, order: int = 0) -> Decoder:
        return IncrementalDecoder(self, n, y)


class IncrementalDecoder:
    """Sampling without recomputation: the vertical stack once a row, the horizontal stack once a pixel.

    Keeps the rows of the vertical stack and the present row of the horizontal stack of every layer. All steps
    together cost about as much arithmetic as one forward pass.
    """

    def __init__(self, network: GatedPixelCNN, n: int, y: Tensor | None) -> None:
        self.network = network
        _, self.height, self.width = network.shape
        self.labels = [layer.label_terms(y) for layer in network.layers]
        weight = network.head[1].weight
        self.rows = [
            weight.new_zeros(n, layer.vertical.in_channels, self.height + layer.margin, self.width + 2 * layer.margin)
            for layer in network.layers
        ]  # inputs of the vertical stack, with its zero padding above and on both sides
        self.columns = [
            weight.new_zeros(self.width + layer.margin, n, layer.horizontal.in_channels) for layer in network.layers
        ]  # inputs of the horizontal stack in the present row, with its zero padding on the left
        self.from_above = [weight.new_zeros(self.width, n, 2 * network.layers[0].channels) for _ in network.layers]
        self.horizontal = [
            (layer.horizontal.weight.flatten(2).permute(2, 1, 0).flatten(0, 1), layer.horizontal.bias)
            for layer in network.layers
        ]  # (taps * C_in, 2C)
        self.mix = [(layer.mix.weight[:, :, 0, 0].t(), layer.mix.bias) for layer in network.layers]

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        row, column = divmod(t, self.width)
        if column == 0:
            self._start_row(canvas, row)
        return self._pixel(canvas, row, column)

    def _start_row(self, canvas: Tensor, row: int) -> None:
        """Advance the vertical stack by the row just finished, and note what it tells the horizontal stack."""
        if row > 0:
            x = canvas.view(-1, 1, self.height, self.width)[:, :, row - 1 : row]
            v = self.network.with_border(x)
            for i, layer in enumerate(self.network.layers):
                m = layer.margin
                self.rows[i][:, :, row - 1 + m, m : m + self.width] = v[:, :, 0]
                v_pre = layer.vertical(self.rows[i][:, :, row - 1 : row + m])
                self.from_above[i] = layer.down(v_pre)[:, :, 0].permute(2, 0, 1)
                v = _gate(v_pre + self.labels[i][0])
        for columns in self.columns:
            columns.zero_()

    def _pixel(self, canvas: Tensor, row: int, column: int) -> Tensor:
        """The horizontal stack at one pixel: parameters ``(B, P)``."""
        first = self.network.layers[0]
        if column > 0:
            previous = canvas[:, row * self.width + column - 1, None]
            self.columns[0][column - 1 + first.margin] = torch.cat([previous, torch.ones_like(previous)], dim=1)
        h, skips = None, 0
        for i, layer in enumerate(self.network.layers):
            if h is not None:
                self.columns[i][column + layer.margin] = h
            last = column + layer.margin + (0 if layer.first else 1)
            taps = self.columns[i][column : last : layer.dilation]
            weight, bias = self.horizontal[i]
            pre = torch.addmm(bias, taps.permute(1, 0, 2).flatten(1), weight) + self.from_above[i][column]
            gated = _gate(pre + self.labels[i][1][:, :, 0, 0])
            out = torch.addmm(self.mix[i][1], gated, self.mix[i][0])
            residual, skip = out.chunk(2, dim=1)
            h = residual if h is None else h + residual
            skips = skips + skip
        return self.network.head(skips[:, :, None, None]).flatten(1)
