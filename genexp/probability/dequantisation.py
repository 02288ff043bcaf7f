"""From levels to reals: noise u in [0, 1) is added to a level x, so that a density of reals bounds a probability,

    log P(x) = log int p(x + u) du >= E_q(u|x) [log p(x + u) - log q(u | x)].

Uniform noise over the whole bin (Uria, Murray & Larochelle, "RNADE", 2013; Theis, van den Oord & Bethge 2016), or learnt noise
(Ho et al., "Flow++", 2019, section 3.1).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.probability.quantize import symmetric
from genexp.probability.transforms.base import Bijection, full_precision


class Dequantisation(nn.Module, ABC):
    """q(u | x, y).

    Args:
        shape: of x.
        levels: of x.
        num_classes: of the labels that it is given; 0 for none.
    """

    def __init__(self, *, shape: Sequence[int], levels: int, num_classes: int) -> None:
        super().__init__()
        self.shape, self.levels, self.num_classes = tuple(shape), levels, num_classes

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """A draw for each x.

        Args:
            x: levels ``(B, *shape)``.
            y: labels ``(B,)``, or None.
            uniform: draws from [0, 1), ``(B, *shape)``.

        Returns:
            u ``(B, *shape)`` in [0, 1], and log q(u | x, y) in nats ``(B,)``.
        """


class UniformDequantisation(Dequantisation):
    """u ~ U[0, 1), whatever x."""

    def forward(self, x: Tensor, y: Tensor | None, uniform: Tensor) -> tuple[Tensor, Tensor]:
        return uniform, uniform.new_zeros(len(uniform))


class TransformFactory(Protocol):
    """Makes the map of the noise."""

    def __call__(self, *, shape: Sequence[int], context_dim: int) -> Bijection:
        """``shape`` is that of x, whose vector in [-1, 1] and one-hot label are the context."""


class VariationalDequantisation(Dequantisation):
    """u = sigmoid(f(logit(w); x, y)), w ~ U[0, 1): uniform where f is the identity.

    Args:
        transform: makes f, in the direction that takes one pass.
        place: see :class:`Dequantisation`.
    """

    def __init__(self, *, transform: TransformFactory, shape: Sequence[int], levels: int, num_classes: int) -> None:
        super().__init__(shape=shape, levels=levels, num_classes=num_classes)
        self.transform = transform(shape=shape, context_dim=torch.Size(shape).numel() + num_classes)

    def forward(self, x: Tensor, y: Tensor | None, uniform: Tensor) -> tuple[Tensor, Tensor]:
        with full_precision(uniform):
            context = symmetric(x, self.levels).flatten(1).to(uniform.dtype)
            if self.num_classes:
                context = torch.cat([context, F.one_hot(y, self.num_classes).to(context)], dim=1)
            s = torch.logit(uniform, eps=torch.finfo(uniform.dtype).eps / 4)
            log_q = _log_logistic(s)
            s, log_det = self.transform(s, context)
            s = s.view_as(uniform)
            return torch.sigmoid(s), log_q - log_det - _log_logistic(s)


def _log_logistic(s: Tensor) -> Tensor:
    """log sigmoid'(s), summed: ``(B, *shape)`` -> ``(B,)``."""
    return (F.logsigmoid(s) + F.logsigmoid(-s)).flatten(1).sum(1)
