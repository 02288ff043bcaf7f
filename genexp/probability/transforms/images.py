"""Bijections of images ``(B, C, H, W)`` that no network chooses: what flows of images have between their couplings.

A number by which a channel is multiplied counts once for every pixel in log |det|.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.probability.transforms.base import Bijection


def check_image(shape: Sequence[int], halvings: int) -> None:
    """Raise ``ValueError`` unless the shape is that of images (C, H, W) whose sides can be halved so often."""
    if len(shape) != 3:
        raise ValueError(
            f"data.shape={list(shape)}: this flow is one of images [channels, height, width]; "
            "for other data choose one of vectors"
        )
    if any(side % 2**halvings for side in shape[1:]):
        raise ValueError(
            f"data.shape={list(shape)}: to halve the sides {halvings} times they must be multiples of {2**halvings}; "
            "choose fewer scales"
        )


class Squeeze(Bijection):
    """Blocks of 2x2 pixels as channels, ``(C, H, W)`` -> ``(4 C, H/2, W/2)`` (Dinh et al., "Density estimation using Real NVP",
    2017, section 3.6). Channel 4 c + 2 i + j is pixel (i, j) of the blocks of channel c.

    Args:
        shape: of x; H and W are even.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        check_image(shape, 1)
        channels, height, width = shape
        super().__init__(shape, (4 * channels, height // 2, width // 2))

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return F.pixel_shuffle(z, 2)


class ActNorm(Bijection):
    """z = exp(s) (x + b), with a number of each for a channel (Kingma & Dhariwal, "Glow", 2018, section 3.1). The examples that it
    is initialised with get mean 0 and standard deviation 1 in every channel; then both are trained.

    Args:
        shape: of x ``(C, H, W)``.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        check_image(shape, 0)
        super().__init__(shape)
        self.pixels = self.shape[1:].numel()
        self.bias = nn.Parameter(torch.zeros(self.shape[0], 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(self.shape[0], 1, 1))

    @torch.no_grad()
    def initialise(self, x: Tensor, context: Tensor | None) -> Tensor:
        sd, mean = torch.std_mean(x.double(), dim=(0, 2, 3), correction=0)
        self.bias.copy_(-mean[:, None, None])
        self.log_scale.copy_(-torch.where(sd > 0, sd, 1.0).log()[:, None, None])
        return self(x, context)[0]

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x + self.bias) * self.log_scale.exp(), (self.pixels * self.log_scale.sum()).expand(len(x))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z * (-self.log_scale).exp() - self.bias


class InvertibleConvolution(Bijection):
    """z = W x at every pixel, a convolution of size 1: W = P L U with a fixed permutation P, unit lower triangular L, and upper
    triangular U, whose diagonal keeps its signs and learns the logarithm of its size (Kingma & Dhariwal, "Glow", 2018, section
    3.2, equation 10). W begins as a random rotation.

    Args:
        shape: of x ``(C, H, W)``.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        check_image(shape, 0)
        super().__init__(shape)
        channels, self.pixels = self.shape[0], self.shape[1:].numel()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("signs", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.triangles = nn.Parameter(lower.tril(-1) + upper.triu(1))
        """L below the diagonal, and U above it."""

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U, ``(C, C)``."""
        lower = self.triangles.tril(-1) + torch.eye(len(self.signs)).to(self.triangles)
        return lower, self.triangles.triu(1) + (self.signs * self.log_diagonal.exp()).diag()

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        weight = self.permutation @ lower @ upper
        z = F.conv2d(x, weight[:, :, None, None])
        return z, (self.pixels * self.log_diagonal.sum()).expand(len(x))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        lower, upper = self.factors()
        h = torch.linalg.solve_triangular(lower, self.permutation.t(), upper=False, unitriangular=True)
        inverse = torch.linalg.solve_triangular(upper, h, upper=True)
        return F.conv2d(z, inverse[:, :, None, None])
