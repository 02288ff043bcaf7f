"""Invertible linear maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genexp.probability.transforms.base import Bijection, Flatten
from genexp.ranges import at_least


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


class Whiten(Bijection):
    """z = L^-1 (x - mean), the mean and the covariance L L^T of the examples that it is initialised with: the maximum-likelihood
    Gaussian before a standard-normal source; with a context, one-hot labels, those of each label. All are buffers in float64, and
    nothing is trained.

    Args:
        shape: of x, which is flattened.
        context_dim: number of labels; 0 for none.
        ridge: is added to the variances, at least 0.
    """

    def __init__(self, *, shape: Sequence[int], context_dim: int, ridge: float) -> None:
        dims, count = torch.Size(shape).numel(), max(1, context_dim)
        super().__init__(shape, (dims,))
        at_least(0, ridge=ridge)
        self.context_dim, self.ridge = context_dim, ridge
        self.register_buffer("means", torch.zeros(count, dims, dtype=torch.float64))
        self.register_buffer("factors", torch.eye(dims, dtype=torch.float64).repeat(count, 1, 1))
        """L of each label, lower triangular."""

    def initialise(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Raises ValueError where a covariance is singular."""
        for label in range(len(self.means)):
            mine = x.flatten(1).double() if context is None else x.flatten(1).double()[context[:, label] > 0]
            if len(mine) < 2:
                raise ValueError(f"there are {len(mine)} training examples of label {label}: a covariance needs two")
            self.means[label] = mine.mean(0)
            covariance = torch.cov(mine.t(), correction=0).reshape(mine.shape[1], -1)
            covariance.diagonal().add_(self.ridge)
            factor, failed = torch.linalg.cholesky_ex(covariance)
            if failed:
                raise ValueError(
                    f"ridge={self.ridge}: the covariance of {len(mine)} training examples of {len(covariance)} dimensions is "
                    "singular; add something to the variances, e.g. 1e-3"
                )
            self.factors[label] = factor
        return self(x, context)[0]

    def _labels(self, x: Tensor, context: Tensor | None) -> Tensor:
        return x.new_zeros(len(x), dtype=torch.long) if context is None else context.argmax(1)

    def transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        labels, z = self._labels(x, context), x.flatten(1).double()
        log_dets = -self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        z = z - self.means[labels]
        for label in labels.unique():
            mine = labels == label
            z[mine] = torch.linalg.solve_triangular(self.factors[label], z[mine].t(), upper=False).t()
        return z.to(x.dtype), log_dets[labels].to(x.dtype)

    def invert(self, z: Tensor, context: Tensor | None) -> Tensor:
        labels = self._labels(z, context)
        x = torch.empty_like(z, dtype=torch.float64)
        for label in labels.unique():
            mine = labels == label
            x[mine] = z[mine].double() @ self.factors[label].t() + self.means[label]
        return x.to(z.dtype).reshape(-1, *self.shape)


class Unchanged(Flatten):
    """z = x, for a density that is a source alone; there is none given labels.

    Args:
        shape: of x, which is flattened.
        context_dim: must be 0.
    """

    def __init__(self, *, shape: Sequence[int], context_dim: int) -> None:
        if context_dim:
            raise ValueError("conditional=true: this density has no form given labels; leave conditional false")
        super().__init__(shape)
