"""How a network that has no layer for labels receives them: one-hot, beside its input."""

import torch
from torch import Tensor
from torch.nn import functional as F


def one_hot_planes(x: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Append the label as ``num_classes`` constant planes: ``(B, C, H, W)`` -> ``(B, C + num_classes, H, W)``."""
    planes = F.one_hot(y, num_classes).to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, planes], dim=1)


def append_one_hot(z: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Append the label as a one-hot vector: ``(B, F)`` -> ``(B, F + num_classes)``."""
    return torch.cat([z, F.one_hot(y, num_classes).to(z.dtype)], dim=1)
