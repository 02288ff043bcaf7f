"""Affine functions whose slopes are bounded, as the flows of images have them: the bounds are part of the model."""

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from torch.nn import functional as F

from genexp.probability.transforms.univariate import Univariate
from genexp.ranges import positive


class LogAffineTransform(Transform):
    """exp(s) x + b.

    Args:
        log_scale, shift: s and b.
    """

    domain = codomain = constraints.real
    bijective, sign = True, +1

    def __init__(self, log_scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.log_scale, self.shift = log_scale, shift

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.log_scale.expand_as(x)

    def _call(self, x: Tensor) -> Tensor:
        return x * self.log_scale.exp() + self.shift

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.shift) * (-self.log_scale).exp()


class TanhAffine(Univariate):
    """exp(r tanh(s)) x + b, where a layer learns r (Dinh et al., "Density estimation using Real NVP", 2017, section 4.1).

    Args:
        initial_range: r at the beginning, positive.
    """

    def __init__(self, initial_range: float) -> None:
        super().__init__()
        positive(initial_range=initial_range)
        self.shapes = [(), ()]
        self.range = nn.Parameter(torch.tensor(float(initial_range), dtype=torch.get_default_dtype()))

    def forward(self, *parameters: Tensor) -> Transform:
        shift, log_scale = parameters
        return LogAffineTransform(self.range * torch.tanh(log_scale), shift)


class SigmoidAffine(Univariate):
    """sigmoid(s + offset) (x + b): slopes between 0 and 1 (the code of Kingma & Dhariwal, "Glow", 2018, with offset 2).

    Args:
        offset: so that slopes begin near sigmoid(offset).
    """

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.shapes, self.offset = [(), ()], offset

    def forward(self, *parameters: Tensor) -> Transform:
        shift, log_scale = parameters
        log_scale = F.logsigmoid(log_scale + self.offset)
        return LogAffineTransform(log_scale, shift * log_scale.exp())
