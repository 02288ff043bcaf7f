"""Sampling from PixelCNN++ one pixel at a time, without recomputation (after Ramachandran et al. 2017, "Fast generation
for convolutional autoregressive models").

The stream u advances by whole rows, the stream ul by pixels; at a coarser resolution only when a row or pixel of that
resolution is due. Of a convolution over two rows of ul, the part of the upper row is computed for the whole row at once. So
every activation is computed once, and all steps together cost about as much arithmetic as one forward pass.

Rows are stored as ``(n, columns, features)``, so that the features of neighbouring columns are one vector of a window.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.pixelcnn_pp_layers import First, GatedResnet, Grow, Layer, Shrink, concat_elu


class _Convolution:
    """A convolution with a kernel of two rows and k columns, by rows or by pixels. It keeps one row of its input.

    Args:
        conv: the convolution, of stride 1 or 2.
        n: number of examples.
        width: columns of the input.
        extra: added to the bias: ``(F_out,)`` or ``(n, F_out)``.
    """

    def __init__(self, conv: nn.Conv2d, n: int, width: int, extra: Tensor | None = None) -> None:
        weight = conv.weight.detach()
        out, features, _, taps = weight.shape
        stride, places = conv.stride[0], width // conv.stride[0]
        row = weight.new_zeros(n, width + taps - 1, features)  # zeros on the left, and on the right if k = 3
        self.inside = row[:, 1 : width + 1]
        self.windows = row.as_strided((n, places, taps * features), (row.stride(0), stride * features, 1))
        self.upper, self.lower = (
            weight[:, :, i].permute(2, 1, 0).reshape(taps * features, out).contiguous() for i in (0, 1)
        )
        bias = conv.bias.detach() if extra is None else conv.bias.detach() + extra
        self.bias = bias.expand(places, n, out).transpose(0, 1).reshape(-1, out) if bias.ndim == 2 else bias
        self.from_above = weight.new_empty(n * places, out)
        self.above = self.from_above.view(n, places, out).unbind(1)
        self.window = self.windows.unbind(1)
        self.slot = self.inside.unbind(1)
        self.halves = row.unflatten(2, (2, -1))[:, 1 : width + 1].unbind(1) if stride == 1 else ()

    def start_row(self) -> None:
        """The row kept becomes the upper one; what it contributes to all places."""
        torch.addmm(self.bias, self.windows.flatten(0, 1), self.upper, out=self.from_above)

    def row(self, x: Tensor) -> Tensor:
        """A whole row: x ``(n * width, F_in)`` -> ``(n * places, F_out)``, which the next row overwrites."""
        self.start_row()
        self.keep_row(x)
        return self.from_above.addmm_(self.windows.flatten(0, 1), self.lower)

    def keep_row(self, x: Tensor) -> None:
        """Keep a row without an output."""
        self.inside.copy_(x.view(self.inside.shape))

    def pixel(self, place: int) -> Tensor:
        """One place of the row that was started, whose window is filled: ``(n, F_out)``."""
        return torch.addmm(self.above[place], self.window[place], self.lower)


class _Activation:
    """``concat_elu`` of a pixel x ``(n, F)``, written to a given place ``(n, 2, F)``."""

    def __init__(self, like: Tensor) -> None:
        self.signs = like.new_tensor([[1.0], [-1.0]])

    def __call__(self, x: Tensor, out: Tensor) -> None:
        torch.mul(x.unsqueeze(1), self.signs, out=out)
        F.elu_(out)


class _Resnet:
    """A gated residual layer of one stream."""

    def __init__(self, resnet: GatedResnet, n: int, width: int, y: Tensor | None) -> None:
        label = None if resnet.label is None else resnet.label(y).detach()
        self.conv1 = _Convolution(resnet.conv1, n, width, None if resnet.aux is None else resnet.aux.bias.detach())
        self.conv2 = _Convolution(resnet.conv2, n, width, label)
        self.activate = _Activation(resnet.conv1.bias)
        self.aux: list[Tensor] = []
        if resnet.aux is not None:
            weight = resnet.aux.weight.detach()[:, :, 0, 0]
            self.aux = [part.t().contiguous() for part in weight.split(2 * len(weight), dim=1)]

    def row(self, x: Tensor, active: Tensor, skip: Tensor | None) -> Tensor:
        """A whole row ``(n * width, F)``, given its activation and that of the short-cut ``(n * width, 2 F)``."""
        h = self.conv1.row(active)
        if skip is not None:
            h.addmm_(skip, self.aux[0])
        return x + F.glu(self.conv2.row(concat_elu(h)), dim=1)

    def start_row(self, u: Tensor) -> None:
        """What the row above, and the activation of the row of u ``(n * width, 2 F)``, contribute to all pixels."""
        self.conv1.start_row()
        self.conv1.from_above.addmm_(u, self.aux[0])
        self.conv2.start_row()

    def pixel(self, x: Tensor, place: int, skip: Tensor | None = None) -> Tensor:
        """One pixel ``(n, F)``, given the activation of the short-cut ``(n, 2 F)``."""
        self.activate(x, self.conv1.halves[place])
        h = self.conv1.pixel(place)
        if skip is not None:
            h.addmm_(skip, self.aux[1])
        self.activate(h, self.conv2.halves[place])
        return x + F.glu(self.conv2.pixel(place), dim=1)


class _Layer:
    """A layer of both streams."""

    def __init__(self, layer: Layer, n: int, width: int, y: Tensor | None) -> None:
        self.u, self.ul = _Resnet(layer.u, n, width, y), _Resnet(layer.ul, n, width, y)

    def start_row(self, u: Tensor, active: Tensor, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Advance u by a row ``(n * width, F)``, and prepare ul: the new u and its activation."""
        u = self.u.row(u, active, skip)
        active = concat_elu(u)
        self.ul.start_row(active)
        return u, active


class _Grow:
    """To twice the resolution: two rows of u from one, four pixels of ul from one."""

    def __init__(self, grow: Grow, n: int, width: int) -> None:
        self.u_weight, self.ul_weight = (
            conv.weight.detach().permute(0, 2, 3, 1).flatten(1).contiguous() for conv in (grow.u, grow.ul)
        )  # (F, rows * columns * F)
        self.u_bias, self.ul_bias = grow.u.bias.detach(), grow.ul.bias.detach().repeat(4)
        features = len(self.u_bias)
        self.u = self.u_weight.new_zeros(n, 2, width, features)
        self.ul = self.u_weight.new_zeros(n, 2, width, features)
        self.blocks = self.ul.unflatten(2, (-1, 2)).unbind(2)
        self.pixels = [self.ul[:, row].unbind(1) for row in (0, 1)]

    def row(self, u: Tensor) -> None:
        """A row of u ``(n * width / 2, F)``. A column lies under one or two of the kernel's columns of those above it."""
        n, _, width, features = self.u.shape
        parts = (u @ self.u_weight).view(n, width // 2, 2, 3, features).transpose(1, 2)
        self.u[:, :, 0::2] = parts[:, :, :, 1] + self.u_bias
        self.u[:, :, 1::2] = parts[:, :, :, 2] + self.u_bias
        self.u[:, :, 1:-1:2] += parts[:, :, 1:, 0]

    def pixel(self, ul: Tensor, place: int) -> None:
        """A pixel of ul ``(n, F)``."""
        block = self.blocks[place]
        block.copy_(torch.addmm(self.ul_bias, ul, self.ul_weight).view(block.shape))


class PixelCNNppSampler:
    """One pixel at a time: all channels of it together.

    Args:
        shape: (C, H, W).
        n: number of examples.
        y: their labels ``(n,)``, or None.
        first: the parts of the network: what begins both streams,
        contract: the layers of each resolution, from full to coarse, on the way there,
        expand: and on the way back,
        shrink: what lies between each resolution and the next coarser one on the way there,
        grow: and on the way back,
        head: and the 1x1 convolution that gives the parameters.
    """

    def __init__(
        self,
        shape: Sequence[int],
        n: int,
        y: Tensor | None,
        *,
        first: First,
        contract: Iterable[Iterable[Layer]],
        expand: Iterable[Iterable[Layer]],
        shrink: Iterable[Shrink],
        grow: Iterable[Grow],
        head: nn.Conv2d,
    ) -> None:
        self.channels, self.height, self.width = shape
        self.contract, self.expand = (
            [[_Layer(layer, n, self.width >> level, y) for layer in layers] for level, layers in enumerate(way)]
            for way in (contract, expand)
        )
        self.levels = len(self.contract)
        self.shrink = [
            (_Convolution(part.u, n, self.width >> level), _Convolution(part.ul, n, self.width >> level))
            for level, part in enumerate(shrink)
        ]
        self.grow = [_Grow(part, n, self.width >> level) for level, part in enumerate(grow)]
        self.head, self.head_bias = head.weight.detach()[:, :, 0, 0].t(), head.bias.detach()
        features = len(self.head)
        self.activate = _Activation(self.head)
        last = [self.head.new_empty(n, 2, features) for _ in self.shrink]
        self.last = [(halves, halves.view(n, 2 * features)) for halves in last]
        """Of each resolution but the coarsest, the activation of the present pixel of ul on leaving it."""
        self._prepare_first(first, n)

    def _prepare_first(self, first: First, n: int) -> None:
        features = len(self.head)
        above, left = first.above.weight.detach(), first.left.weight.detach()
        weight = above.new_zeros(2, 3, self.channels + 1, 2 * features)  # of the two rows above: for u, for ul
        weight[..., :features] = first.u.weight.detach().permute(2, 3, 1, 0)
        weight[1, :, :, features:] = above[:, :, 0].permute(2, 1, 0)
        weight[1, 0, :, features:] += left[:, :, 0, 0].t()
        self.first = weight.flatten(0, 2)
        bias = above.new_zeros(2, n, self.width, 2 * features)  # of row 0, where nothing is above, and of the others
        bias[1, ..., :features] = first.u.bias.detach()
        bias[1, ..., features:] = first.above.bias.detach()
        bias[:, :, 1:, features:] += first.left.bias.detach()  # in column 0 nothing is to the left
        self.first_bias = bias.flatten(1, 2)
        self.left = left[:, :, 1, 0].t().contiguous()
        self.image = above.new_zeros(n, self.height + 2, self.width + 2, self.channels + 1)
        # the channel that tells pixels from the padding: two rows above, one column aside
        self.image[:, 2:, 1:-1, -1] = 1
        self.minus_one = above.new_tensor(-1.0)

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        row, column = divmod(t, self.width)
        if t > 0:
            before = canvas[:, (t - 1) * self.channels : t * self.channels]
            torch.add(self.minus_one, before, alpha=2, out=self.now[column or self.width])
        if column == 0:
            self.now = self.image[:, row + 2, :, :-1].unbind(1)
            self.padded = self.image[:, row + 2].unbind(1)
            self._start_row(row)
        return self._pixel(row, column)

    def _start_row(self, row: int) -> None:
        """Advance u by a row at all resolutions that are due, and prepare ul."""
        patches = self.image[:, row : row + 2].unfold(2, 3, 1).permute(0, 2, 1, 4, 3)  # (n, W, 2, 3, C + 1)
        begin = torch.addmm(self.first_bias[min(row, 1)], patches.flatten(2).flatten(0, 1), self.first)
        u, ul = begin.chunk(2, dim=1)
        self.begin = ul.view(len(self.image), self.width, -1).unbind(1)
        coarsest, skips = self._due(row), []
        for level in range(coarsest + 1):
            if level > 0:
                u = self.shrink[level - 1][0].row(u)
                self.shrink[level - 1][1].start_row()
            active = concat_elu(u)
            skips.append([active])
            for layer in self.contract[level]:
                u, active = layer.start_row(u, active)
                skips[level].append(active)
        if coarsest < self.levels - 1:
            self.shrink[coarsest][0].keep_row(u)
        else:
            skips[coarsest].pop()
        for level in reversed(range(coarsest + 1)):
            if level < self.levels - 1:
                u = self.grow[level].u[:, row >> level & 1].flatten(0, 1)
                active = concat_elu(u)
            for layer in self.expand[level]:
                u, active = layer.start_row(u, active, skips[level].pop())
            if level > 0:
                self.grow[level - 1].row(u)

    def _due(self, place: int) -> int:
        """The coarsest resolution at which a row or column that is not divided begins at ``place``."""
        level = 0
        while level < self.levels - 1 and not place >> level & 1:
            level += 1
        return level

    def _pixel(self, row: int, column: int) -> Tensor:
        """The stream ul at one pixel: parameters ``(n, P)``."""
        x = torch.addmm(self.begin[column], self.padded[column], self.left)
        coarsest = self._due(row | column)
        for level in range(coarsest + 1):
            place = column >> level
            if level > 0:
                x = self.shrink[level - 1][1].pixel(place)
            for layer in self.contract[level]:
                x = layer.ul.pixel(x, place)
            if level < self.levels - 1:
                self.shrink[level][1].slot[place].copy_(x)
                self.activate(x, self.last[level][0])
        for level in reversed(range(coarsest + 1)):
            place = column >> level
            skips = [layer.ul.conv1.slot[place] for layer in self.contract[level]]
            if level < self.levels - 1:
                x = self.grow[level].pixels[row >> level & 1][place]
                skips.append(self.last[level][1])
            for layer in self.expand[level]:
                x = layer.ul.pixel(x, place, skips.pop())
            if level > 0:
                self.grow[level - 1].pixel(x, place)
        return torch.addmm(self.head_bias, F.elu(x), self.head)
