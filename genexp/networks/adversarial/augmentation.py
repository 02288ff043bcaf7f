"""Differentiable augmentation of images, for discriminators with few data."""

import torch
from torch import Tensor, nn

from genexp.ranges import at_least, inside


class DifferentiableAugmentation(nn.Module):
    """Random changes of colour, place and wholeness, made to real and generated images alike before the discriminator sees them
    (Zhao, Liu, Lin, Zhu, Han, "Differentiable augmentation for data-efficient GAN training", NeurIPS 2020, section 3): brightness,
    saturation, contrast, translation, cutout, in this order. In parentheses, the strengths of the authors' code; 0 is off.

    Args:
        brightness: largest a of x + a (0.5).
        saturation: largest |a| of x + a (x - mean over the channels) (1.0); without effect on grey images.
        contrast: largest |a| of x + a (x - mean of the image) (0.5).
        translation: largest shift along either axis, as a fraction of the side (0.125); zeros come in.
        cutout: sides of a rectangle of zeros, as a fraction of the image's (0.5); it may reach over the edge.

    Raises:
        ValueError: a strength below 0, or a fraction above 1.
    """

    draws = 7
    """Uniform draws for each example."""

    def __init__(
        self, *, brightness: float, saturation: float, contrast: float, translation: float, cutout: float
    ) -> None:
        super().__init__()
        at_least(0, brightness=brightness, saturation=saturation, contrast=contrast)
        inside(0, 1, ends="[]", translation=translation, cutout=cutout)
        self.brightness, self.saturation, self.contrast = brightness, saturation, contrast
        self.translation, self.cutout = translation, cutout

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        """x ``(B, C, H, W)``, u ``(B, draws)`` in [0, 1) -> ``(B, C, H, W)``; row i depends on x_i and u_i alone."""
        brightness, saturation, contrast = (2 * u[:, :3] - 1).view(-1, 3, 1, 1, 1).unbind(1)
        x = x + self.brightness * brightness
        x = x + self.saturation * saturation * (x - x.mean(1, keepdim=True))
        x = x + self.contrast * contrast * (x - x.mean((1, 2, 3), keepdim=True))
        cut = []
        for axis, (shift, place) in ((2, (u[:, 3], u[:, 5])), (3, (u[:, 4], u[:, 6]))):
            side = x.shape[axis]
            position = torch.arange(side, device=x.device).view(-1, *[1] * (3 - axis))
            most, size = pixels(self.translation, side), pixels(self.cutout, side)
            source = position - (integers(shift, 2 * most + 1) - most)
            outside = (source < 0) | (source >= side)
            x = x.gather(axis, source.clamp(0, side - 1).expand_as(x)).masked_fill(outside, 0)
            distance = position - (integers(place, side + 1 - size % 2) - size // 2)
            cut.append((distance >= 0) & (distance < size))
        return x.masked_fill(cut[0] & cut[1], 0)


def pixels(fraction: float, side: int) -> int:
    """A fraction of a side, rounded."""
    return int(fraction * side + 0.5)


def integers(u: Tensor, high: int) -> Tensor:
    """Uniform draws from {0, ..., high - 1}, of uniform draws ``(B,)`` in [0, 1): ``(B, 1, 1, 1)``."""
    return (u * high).long().view(-1, 1, 1, 1)
