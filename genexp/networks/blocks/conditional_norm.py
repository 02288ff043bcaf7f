"""Batch normalisation that knows the label."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class ConditionalBatchNorm(nn.Module):
    """gain_y (x - mean) / std + bias_y, with a gain and a bias per feature for each label y (Dumoulin, Shlens, Kudlur, "A learned
    representation for artistic style", ICLR 2017, equation 5; Miyato & Koyama, "cGANs with projection discriminator", ICLR 2018).

    Args:
        norm: batch normalisation without a gain and a bias of its own (``affine=False``).
        num_classes: number of labels.
    """

    def __init__(self, norm: _BatchNorm, num_classes: int) -> None:
        super().__init__()
        self.norm = norm
        self.gain = nn.Parameter(norm.running_mean.new_ones(num_classes, norm.num_features))
        self.bias = nn.Parameter(norm.running_mean.new_zeros(num_classes, norm.num_features))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x ``(B, F, ...)``, y ``(B,)`` -> ``(B, F, ...)``."""
        shape = (len(x), -1, *[1] * (x.ndim - 2))
        return F.embedding(y, self.gain).view(shape) * self.norm(x) + F.embedding(y, self.bias).view(shape)


def batch_norm_layer(make: Callable[..., _BatchNorm], features: int, num_classes: int) -> nn.Module:
    """Batch normalisation of ``features``, as ``make`` (e.g. ``nn.BatchNorm2d``) does it, by label unless ``num_classes`` is 0."""
    return ConditionalBatchNorm(make(features, affine=False), num_classes) if num_classes else make(features)


def in_turn(layers: Iterable[nn.Module], x: Tensor, y: Tensor | None) -> Tensor:
    """Apply the layers one after the other; batch normalisation by label is given the labels y ``(B,)``, too."""
    for layer in layers:
        x = layer(x, y) if isinstance(layer, ConditionalBatchNorm) else layer(x)
    return x
