"""What samplers of images in raster order keep of masked convolutions, so that nothing is computed twice."""

import itertools
from collections import deque
from collections.abc import Iterable

import torch
from torch import Tensor

from genexp.networks.autoregressive.raster import MaskedConv2d, bounds_of


def matrices(weight: Tensor) -> Tensor:
    """The weight of a convolution of one row as a matrix: ``(C_out, C_in, 1, taps)`` -> ``(taps * C_in, C_out)``."""
    return weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)


class PointwiseSteps:
    """A 1x1 convolution of mask B at one pixel, channel by channel. Lists have an entry for each channel c.

    Args:
        conv: the convolution, with inputs in ascending groups.
        n: number of examples.
        shift: a constant ``(C_in,)`` that is missing in the inputs; the bias makes up for it.
    """

    def __init__(self, conv: MaskedConv2d, n: int, shift: Tensor | None = None) -> None:
        matrix, groups = matrices(conv.masked), bounds_of(conv.in_groups)
        bias = conv.bias if shift is None else conv.bias + shift @ matrix
        inputs = matrix.new_empty(n, len(matrix))
        self.inputs = [inputs[:, group] for group in groups]
        """Where the inputs of the channel are to be filled in."""
        self.known = [inputs[:, : group.stop] for group in groups]
        """The inputs up to this channel."""
        self.weights = [matrix[: group.stop, conv.out_groups == c].contiguous() for c, group in enumerate(groups)]
        self.biases = [bias[conv.out_groups == c] for c in range(len(groups))]

    def views(self, c: int) -> tuple[Tensor, ...]:
        """Input of the channel, input up to the channel, bias, weight."""
        return self.inputs[c], self.known[c], self.biases[c], self.weights[c]


class HeadSteps:
    """Layers ReLU - 1x1 convolution of mask B at one pixel, channel by channel.

    Args:
        layers: the convolutions.
        n: number of examples.
        shift: a constant ``(C_in,)`` that is missing in the input of the first layer.
    """

    def __init__(self, layers: Iterable[MaskedConv2d], n: int, shift: Tensor) -> None:
        first, *rest = layers
        self._layers = [PointwiseSteps(first, n, shift), *(PointwiseSteps(layer, n) for layer in rest)]
        self._views = [[layer.views(c) for layer in self._layers] for c in range(len(self._layers[0].inputs))]
        self._outputs = [[shift.new_empty(n, len(bias)) for _, _, bias, _ in views] for views in self._views]
        self._floors, self._zero = [-shift[group] for group in bounds_of(first.in_groups)], shift.new_zeros(())

    def __call__(self, h: Tensor, c: int) -> Tensor:
        """Input of channel c ``(n, features of c)`` -> output of channel c, given the inputs of the channels before."""
        floor = self._floors[c]
        for (features, known, bias, weight), out in zip(self._views[c], self._outputs[c], strict=True):
            torch.maximum(h, floor, out=features)
            h, floor = torch.addmm(bias, known, weight, out=out), self._zero
        return h.clone()


class RowTaps:
    """A convolution from the rows that are finished to a row of outputs: one matrix product for each row of the kernel.

    Fill ``row``, then call ``add_to``: the last row of the kernel applies to the row just filled, those before it to earlier
    rows. Rows above the image cost nothing.

    Args:
        n: number of examples.
        width: columns W of the image.
        weight: ``(C_out, C_in, rows, columns)``, the number of columns odd.
        dilation: distance between the taps.
    """

    def __init__(self, n: int, width: int, weight: Tensor, dilation: int) -> None:
        _, channels, rows, taps = weight.shape
        margin = taps // 2 * dilation
        padded = weight.new_zeros(n, width + 2 * margin, channels)
        self.row = padded[:, margin : margin + width]
        """``(n, W, C_in)``, to be filled."""
        strides = (padded.stride(0), channels, dilation * channels, 1)
        self._windows = padded.as_strided((n, width, taps, channels), strides)
        self._weights = [matrices(weight[:, :, r : r + 1]).contiguous() for r in reversed(range(rows))]
        self._dilation = dilation
        self._seen: deque[Tensor] = deque(maxlen=(rows - 1) * dilation + 1)

    def add_to(self, out: Tensor) -> None:
        """Take in ``row``, and add its convolution, with what is above it, to ``out``: ``(n * W, C_out)``."""
        windows = self._windows.clone(memory_format=torch.contiguous_format)
        self._seen.appendleft(windows.view(len(out), -1))
        for weight, windows in zip(self._weights, itertools.islice(self._seen, 0, None, self._dilation), strict=False):
            out.addmm_(windows, weight)


class ColumnTaps:
    """The features of the present row, so laid out that the taps of a pixel to its left, and then its own features,
    are one slice: columns that are ``dilation`` apart lie side by side.

    Args:
        padding: what stands left of the image, ``(n, C)``.
        width: columns W of the image.
        taps: taps of the kernel, the last of which is at the present pixel.
        dilation: distance between the taps.
    """

    def __init__(self, padding: Tensor, width: int, taps: int, dilation: int) -> None:
        self._channels = padding.shape[1]
        self._left = taps - 1
        slots = self._left + -(-width // dilation)
        self._dilation = dilation
        self._slots = padding[:, None, None].repeat(1, dilation, slots, 1).flatten(2)

    @property
    def row(self) -> Tensor:
        """The features of the row, if the dilation is 1: a view ``(n, W, C)``."""
        return self._slots[:, 0, self._left * self._channels :].unflatten(1, (-1, self._channels))

    def own(self, column: int) -> Tensor:
        """The features of a pixel: a view ``(n, C)``."""
        return self.window(column, self._channels)[:, self._left * self._channels :]

    def window(self, column: int, own: int) -> Tensor:
        """The features of the taps to the left of a pixel and ``own`` features of its own: a view
        ``(n, (taps - 1) * C + own)``."""
        first, phase = divmod(column, self._dilation)
        return self._slots[:, phase, first * self._channels : (first + self._left) * self._channels + own]
