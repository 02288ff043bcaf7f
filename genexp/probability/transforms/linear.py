"""Invertible linear maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genexp.probability.transforms.base import Bijection


class LULinear(Bijection):
    """z = L U x + b, with L unit lower triangular and U upper triangular, whose diagonal is positive: the identity at the beginning
    (Kingma & Dhariwal, "Glow", 2018, section 3.2; Durkan et al. 2019, section 3.3). It mixes all dimensions, and log |det| is the
    sum of D numbers; composed with a standard-normal source it is a Gaussian of any covariance.

    Args:
        shape: of x, which is flattened.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        dims = torch.Size(shape).numel()
        super().__init__(shape, (dims,))
        self.below = nn.Parameter(torch.zeros(dims, dims)) if dims > 1 else None
        """L below its diagonal, and above it the rest of U."""
        self.log_diagonal = nn.Parameter(torch.zeros(dims))
        self.bias = nn.Parameter(torch.zeros(dims))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U, ``(D, D)``."""
        diagonal = self.log_diagonal.exp().diag()
        if self.below is None:
            return torch.ones_like(diagonal), diagonal
        return self.below.tril(-1) + torch.eye(len(diagonal)).to(diagonal), self.below.triu(1) + diagonal

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        return x.flatten(1) @ upper.t() @ lower.t() + self.bias, self.log_diagonal.sum().expand(len(x))

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        lower, upper = self.factors()
        h = torch.linalg.solve_triangular(lower, (z - self.bias).t(), upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, h, upper=True).t().reshape(-1, *self.shape)
