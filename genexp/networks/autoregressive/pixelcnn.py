"""PixelCNN (van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks", ICML 2016), for images of any
number of channels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Sampler, require_images
from genexp.networks.autoregressive.raster import MaskedConv2d, bounds_of, groups_of, pointwise
from genexp.networks.autoregressive.raster_sampler import ColumnTaps, HeadSteps, PointwiseSteps, RowTaps, matrices
from genexp.networks.blocks.base import Block
from genexp.ranges import at_least


class PixelCNNBlock(Block):
    """ReLU, 1x1 convolution 2h -> h, ReLU, masked convolution h -> h, ReLU, 1x1 convolution h -> 2h, plus the input
    (figure 5 of the paper, left; all of mask B).

    Args:
        wide: group of each of the 2h features.
        narrow: group of each of the h features.
        kernel: odd width of the masked convolution.
        num_classes: number of labels, 0 for none.
    """

    def __init__(self, wide: Tensor, narrow: Tensor, kernel: int, num_classes: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.reduce = pointwise(wide, narrow)
        self.conv = MaskedConv2d(narrow, narrow, (self.reach + 1, kernel), present=self.reach, own=True)
        self.expand = pointwise(narrow, wide)
        self.label = nn.Embedding(num_classes, len(narrow)) if num_classes else None

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """x ``(B, 2h, H, W)`` -> ``(B, 2h, H, W)``."""
        r = self.reach
        h = self.conv(F.pad(F.relu(self.reduce(F.relu(x))), (r, r, r, 0)))
        if self.label is not None:
            h = h + self.label(y)[:, :, None, None]
        return x + self.expand(F.relu(h))


class PixelCNN(AutoregressiveNetwork):
    """PixelCNN in raster order, pixel by pixel and channel by channel within a pixel.

    A masked convolution of mask A, residual blocks, two layers ReLU - 1x1 convolution, and after another ReLU the 1x1
    convolution that gives the parameters. The features of every layer are divided into one group per channel: those of
    channel c know the channels before c of the present pixel (section 3.4). Masked convolutions of more than one row
    leave out a part of the pixels above to the right, the blind spot (van den Oord et al. 2016b, figure 1): with a first
    kernel of width 2a + 1 and n further ones of width 3, a pixel sees of the row d above itself, d in {1, ..., a + n}, the
    columns from a + n to the left up to a + min(d - 1, n) to the right, of its own row a + n pixels to the left.

    Labels are not in the paper: they add a bias to each layer with a spatial kernel, as in Gated PixelCNN.

    Args:
        shape: (C, H, W).
        num_params: parameters P per dimension.
        num_classes: number of labels; 0 for an unconditional network.
        levels: see :class:`AutoregressiveNetwork`.
        channels: h, at least C: features within a block; between the blocks there are 2h.
        first_kernel: odd kernel width of the first layer.
        kernel: odd kernel width of the blocks.
        blocks: number of residual blocks, at least 0.
        head_channels: features of the two layers before the output, at least C.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        channels: int,
        first_kernel: int,
        kernel: int,
        blocks: int,
        head_channels: int,
    ) -> None:
        super().__init__(shape, num_params, levels)
        colours, _, _ = require_images(self.shape, "PixelCNN")
        for name, width in (("first_kernel", first_kernel), ("kernel", kernel)):
            if width < 3 or width % 2 == 0:
                raise ValueError(f"{name}={width}: must be odd and at least 3")
        at_least(0, blocks=blocks)
        wide, narrow = (groups_of(width, colours, "channels") for width in (2 * channels, channels))
        head, out = groups_of(head_channels, colours, "head_channels"), torch.arange(colours)
        reach = first_kernel // 2
        self.first = MaskedConv2d(out, wide, (reach + 1, first_kernel), present=reach, own=False)
        self.label = nn.Embedding(num_classes, 2 * channels) if num_classes else None
        self.blocks = nn.ModuleList([PixelCNNBlock(wide, narrow, kernel, num_classes) for _ in range(blocks)])
        self.head = nn.Sequential(
            nn.ReLU(),
            pointwise(wide, head),
            nn.ReLU(),
            pointwise(head, head),
            nn.ReLU(),
            pointwise(head, out.repeat_interleave(num_params)),
        )
        self.to(memory_format=torch.channels_last)  # faster on a CPU

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        reach = self.first.kernel_size[1] // 2
        x = self.first(F.pad(x, (reach, reach, reach, 0)))
        if self.label is not None:
            x = x + self.label(y)[:, :, None, None]
        for block in self.blocks:
            x = block(x, y)
        colours, *size = self.shape
        return self.head(x).view(-1, colours, self.num_params, *size).transpose(1, 2)

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        with torch.no_grad(), torch.autocast(self.first.weight.device.type, enabled=False):
            return PixelCNNSampler(self, n, y)


class BlockSteps:
    """What a sampler keeps of a residual block.

    The biases of the residual connections are summed and kept apart: instead of the features x + b between the blocks there
    is x, to which a block adds by one matrix product, and instead of ReLU(x + b) there is max(x, -b) = ReLU(x + b) - b.

    Args:
        block: the block.
        shift: b, the biases of the blocks before ``(2h,)``.
        start: bias and label of the masked convolution, ``(n, h)`` or ``(1, h)``.
        n: number of examples.
        width: columns W of the image.
    """

    def __init__(self, block: PixelCNNBlock, shift: Tensor, start: Tensor, n: int, width: int) -> None:
        self.wide, self.narrow = bounds_of(block.reduce.in_groups), bounds_of(block.conv.in_groups)
        weight, h = block.conv.masked, block.conv.in_channels
        self.rows = RowTaps(n, width, weight[:, :, :-1], 1)
        self.columns = ColumnTaps(weight.new_zeros(n, h), width, block.reach + 1, 1)
        self.start, self.above = start, weight.new_empty(n, width, h)
        present = matrices(weight[:, :, -1:, : block.reach + 1])
        self.conv = [present[: block.reach * h + g.stop, g].contiguous() for g in self.narrow]
        self.reduce = PointwiseSteps(block.reduce, n, shift)
        self.expand = PointwiseSteps(block.expand, n)
        self.floors = [-shift[group] for group in self.wide]

    def start_row(self, row: int) -> None:
        """Take in the row above ``row``."""
        self.above.copy_(self.start[:, None])
        if row > 0:
            self.rows.row.copy_(self.columns.row)
            self.rows.add_to(self.above.flatten(0, 1))

    def views(self, column: int, c: int) -> tuple[Tensor, ...]:
        """The tensors of a step, in the sequence in which :class:`PixelCNNSampler` uses them."""
        group = self.narrow[c]
        middle, known, _, expand = self.expand.views(c)
        return (
            self.floors[c],
            *self.reduce.views(c),
            self.columns.own(column)[:, group],
            self.above[:, column, group],
            self.columns.window(column, group.stop),
            self.conv[c],
            middle,
            known,
            expand,
        )


class PixelCNNSampler:
    """Sampling without recomputation. What the kernels take from the rows above is computed once a row, for all its
    pixels; the rest once a pixel, for each channel its group of features. All steps together cost about as much
    arithmetic as one forward pass."""

    def __init__(self, network: PixelCNN, n: int, y: Tensor | None) -> None:
        self.n, (self.colours, self.height, self.width) = n, network.shape
        weight, wide = network.first.masked, bounds_of(network.first.out_groups)

        def start(label: nn.Embedding | None, bias: Tensor) -> Tensor:
            return bias[None] if label is None else bias + label(y)

        reach = weight.shape[3] // 2
        self.rows = RowTaps(n, self.width, weight[:, :, :-1], 1)
        self.start, self.above = start(network.label, network.first.bias), weight.new_empty(n, self.width, len(weight))
        self.above_at = [[above[:, g] for g in wide] for above in self.above.unbind(1)]
        self.left = reach * self.colours
        present = matrices(weight[:, :, -1:, : reach + 1])
        self.first = [present[: self.left + c, g].contiguous() for c, g in enumerate(wide)]
        stream = weight.new_empty(n, len(weight))
        self.stream = [stream[:, g] for g in wide]

        self.blocks, shift = [], torch.zeros_like(network.first.bias)
        for block in network.blocks:
            self.blocks.append(BlockSteps(block, shift, start(block.label, block.conv.bias), n, self.width))
            shift = shift + block.expand.bias
        steps = [(j, c) for j in range(self.width) for c in range(self.colours)]
        self.plan = [[block.views(j, c) for block in self.blocks] for j, c in steps]

        self.head = HeadSteps([layer for layer in network.head if isinstance(layer, MaskedConv2d)], n, shift)

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        pixel, c = divmod(t, self.colours)
        row, column = divmod(pixel, self.width)
        if column == 0 and c == 0:
            self._start_row(canvas, row)
        addmm, steps = torch.addmm, self.plan[column * self.colours + c]
        before = t - max(t - c - self.left, row * self.width * self.colours)
        weight, x = self.first[c], self.stream[c]
        addmm(self.above_at[column][c], canvas[:, t - before : t], weight[len(weight) - before :], out=x)
        for floor, relu, relus, bias, reduce, own, above, window, conv, middle, known, expand in steps:
            torch.maximum(x, floor, out=relu)
            addmm(bias, relus, reduce, out=own).relu_()
            addmm(above, window, conv, out=middle).relu_()
            x.addmm_(known, expand)
        return self.head(x, c)

    def _start_row(self, canvas: Tensor, row: int) -> None:
        """What the rows above tell ``row``, in every layer."""
        self.above.copy_(self.start[:, None])
        if row > 0:
            self.rows.row.copy_(canvas.view(self.n, self.height, self.width, self.colours)[:, row - 1])
            self.rows.add_to(self.above.flatten(0, 1))
        for block in self.blocks:
            block.start_row(row)
