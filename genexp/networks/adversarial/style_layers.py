"""What generator and discriminator of StyleGAN2 are made of: layers with an equalised learning rate, modulated convolutions,
and resampling by the filter [1, 3, 3, 1] (Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020).

Equalised learning rate: parameters are drawn from N(0, 1) and multiplied by 1 / sqrt(fan_in) whenever they are used, so that
Adam moves all of them at the same relative speed (Karras et al., "Progressive growing of GANs", ICLR 2018, section 4.1).
"""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.blocks.base import Block
from genexp.networks.latent.residual import stages
from genexp.ranges import positive


def style_widths(shape: Sequence[int], channels: int, max_channels: int) -> tuple[list[int], int]:
    """Features at each resolution, finest first, and the coarsest side: ``channels`` doubled with every halving of the side,
    at most ``max_channels``. See :func:`genexp.networks.latent.residual.stages`."""
    widths, side = stages(shape, channels, blocks=1)
    if max_channels < channels:
        raise ValueError(f"max_channels={max_channels}: must be at least channels={channels}")
    return [min(width, max_channels) for width in widths], side


def activate(x: Tensor) -> Tensor:
    """sqrt(2) LeakyReLU_0.2(x), which keeps about the second moment of a normal x."""
    return F.leaky_relu(x, 0.2) * sqrt(2)


def unit_rms(x: Tensor) -> Tensor:
    """x ``(B, D)`` divided by its root mean square over D."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def blur(x: Tensor, padding: int, stride: int = 1, gain: float = 1) -> Tensor:
    """Convolve every channel with the outer product of [1, 3, 3, 1] / 8 with itself, after ``padding`` zeros on each side:
    ``(B, C, H, W)`` -> ``(B, C, (H + 2 padding - 4) // stride + 1, ...)``, times ``gain``."""
    line = torch.tensor([1, 3, 3, 1], dtype=x.dtype, device=x.device) / 8
    kernel = (gain * line[:, None] * line).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=padding, stride=stride, groups=x.shape[1])


def double(x: Tensor) -> Tensor:
    """Double the sides, ``(B, C, H, W)`` -> ``(B, C, 2 H, 2 W)``. With the filter [1, 3, 3, 1] that is bilinear interpolation;
    values at the border are repeated beyond it, where the authors' code has zeros."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")


class EqualisedLinear(nn.Module):
    """``(*, in_features)`` -> ``(*, out_features)`` with an equalised learning rate.

    Args:
        in_features, out_features: widths of input and output.
        bias: initial value of the biases.
        multiplier: of the learning rate, above 0: the parameters are divided by it and multiplied by it when they are used.
    """

    def __init__(self, in_features: int, out_features: int, bias: float = 0, multiplier: float = 1) -> None:
        super().__init__()
        positive(multiplier=multiplier)
        self.scale, self.multiplier = multiplier / sqrt(in_features), multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias / multiplier))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.multiplier)


class EqualisedConv2d(nn.Module):
    """``(B, in_channels, H, W)`` -> ``(B, out_channels, ...)`` with an equalised learning rate.

    Args:
        in_channels, out_channels: channels of input and output.
        kernel: side of the kernel.
        stride, padding: of the convolution.
        bias: add a bias, at first 0.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__()
        self.scale, self.stride, self.padding = 1 / sqrt(in_channels * kernel**2), stride, padding
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=self.stride, padding=self.padding)


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels i are scaled by a style s = A(w), an affine map of w (section 2.2):

        w'_ijk = s_i w_ijk                                           (equation 1)
        w''_ijk = w'_ijk / sqrt(sum_{i,k} w'_ijk^2 + eps)            (equation 3, with demodulation only)

    for the output channels j and the places k of the kernel. The same weights serve all examples: s_i scales the input and
    the root the output, which is equal, and on a CPU quicker than a kernel for each example.

    Args:
        in_channels, out_channels: channels of input and output.
        w_dim: dimensions of w.
        kernel: side of the kernel, odd; 3 with ``up``.
        demodulate: divide by the root.
        up: double the sides, by a transposed convolution of stride 2 and a blur.
    """

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, *, kernel: int, demodulate: bool, up: bool
    ) -> None:
        super().__init__()
        self.demodulate, self.up, self.scale = demodulate, up, 1 / sqrt(in_channels * kernel**2)
        self.affine = EqualisedLinear(w_dim, in_channels, bias=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x ``(B, in_channels, H, W)``, w ``(B, w_dim)`` -> ``(B, out_channels, H, W)``, or twice the sides."""
        style, weight = self.affine(w), self.weight * self.scale
        x = x * style[:, :, None, None]
        if self.up:  # of every 4 pixels that the transposed convolution sees 3 are zeros
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            square = F.linear(style.square(), weight.square().sum((2, 3)))
            x = x * (square + 1e-8).rsqrt()[:, :, None, None]
        return x + self.bias[:, None, None]


class StyledConv(Block):
    """Modulated 3x3 convolution with demodulation, noise per pixel, and non-linearity (figure 2d).

    Args:
        in_channels, out_channels: channels of input and output.
        w_dim: dimensions of w.
        up: double the sides.
    """

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, *, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(in_channels, out_channels, w_dim, kernel=3, demodulate=True, up=up)
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: bool) -> Tensor:
        """x ``(B, in_channels, H, W)``, w ``(B, w_dim)`` -> ``(B, out_channels, H, W)``, or twice the sides. Without
        ``noise`` it is left out, as if all its draws were 0."""
        x = self.conv(x, w)
        if noise:  # one draw for all channels of a pixel
            x = x + self.noise_strength * torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=x.dtype)
        return activate(x)
