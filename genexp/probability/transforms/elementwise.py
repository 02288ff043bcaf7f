"""Bijections of each dimension by itself, with what they do to volumes."""

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from genexp.probability.transforms.base import Bijection
from genexp.ranges import inside


class Standardise(Bijection):
    """z = (x - mean) / sd, of every dimension of the examples that it is initialised with; a dimension without spread keeps sd 1.
    Both are buffers, so that every checkpoint has them."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        self.register_buffer("mean", torch.zeros(self.shape))
        self.register_buffer("sd", torch.ones(self.shape))

    def initialise(self, x: Tensor, context: Tensor | None) -> Tensor:
        sd, mean = torch.std_mean(x.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(sd > 0, sd, 1.0))
        return self(x, context)[0]

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x - self.mean) / self.sd, -self.sd.log().sum().expand(len(x))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z * self.sd + self.mean


class Scale(Bijection):
    """z = exp(s) x with learnt s, 0 at the beginning (Dinh et al., "NICE", 2014, section 3.3). With a context, s is
    linear in it.

    Args:
        shape: see :class:`Bijection`.
        context_dim: dimensions of the context; 0 for none.
    """

    def __init__(self, *, shape: Sequence[int], context_dim: int) -> None:
        super().__init__(shape)
        self.log_scale = nn.Parameter(torch.zeros(self.shape))
        self.by_context = nn.Parameter(torch.zeros(context_dim, *self.shape)) if context_dim else None

    def _log_scale(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_scale = self.log_scale.expand_as(x)
        return log_scale if self.by_context is None else log_scale + torch.tensordot(context, self.by_context, 1)

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        log_scale = self._log_scale(x, context)
        return x * log_scale.exp(), log_scale.flatten(1).sum(1)

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z * (-self._log_scale(z, context)).exp()


class Symmetric(Bijection):
    """[0, 1] onto [-1, 1]: z = 2 x - 1."""

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return 2 * x - 1, x.new_full((len(x),), self.shape.numel() * log(2))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return (z + 1) / 2


class Logit(Bijection):
    """[0, 1] into the reals: z = logit(s), s = alpha + (1 - 2 alpha) x, with log dz/dx = log(1 - 2 alpha) - log s - log(1 - s)
    (Dinh et al., "Density estimation using Real NVP", 2017, section 4.1).

    The image of [0, 1] is bounded; z beyond it, as a model may draw it, have an x outside of [0, 1].

    Args:
        shape: see :class:`Bijection`.
        alpha: in (0, 0.5). The ends of [0, 1] would be infinitely far away with 0.
    """

    def __init__(self, shape: Sequence[int], alpha: float) -> None:
        super().__init__(shape)
        inside(0, 0.5, alpha=alpha)
        self.alpha = alpha

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # 1 - s is computed from 1 - x: of s near 1 it would be a difference of nearly equal numbers
        spread = 1 - 2 * self.alpha
        log_s, log_rest = (self.alpha + spread * x).log(), (self.alpha + spread * (1 - x)).log()
        return log_s - log_rest, (log(spread) - log_s - log_rest).flatten(1).sum(1)

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        return (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
