"""Mixtures of Gaussians fitted by expectation maximisation: classical densities to compare with."""

from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.probability.transforms.sources import Source
from genexp.ranges import at_least


class FittedMixture(Source):
    """sum_k w_k N(m_k, L_k L_k^T). All are buffers in float64, set by :meth:`initialise`, and nothing is trained. They begin as
    standard normals.

    Args:
        dims: see :class:`Source`.
        components: number of Gaussians, at least 1.
        ridge: is added to the variances, at least 0.
        max_iterations: of expectation maximisation, at least 1.
    """

    def __init__(self, *, dims: int, components: int, ridge: float, max_iterations: int) -> None:
        super().__init__(dims=dims)
        at_least(1, components=components, max_iterations=max_iterations)
        at_least(0, ridge=ridge)
        self.components, self.ridge, self.max_iterations = components, ridge, max_iterations
        self.register_buffer("weights", torch.full((components,), 1 / components, dtype=torch.float64))
        self.register_buffer("means", torch.zeros(components, dims, dtype=torch.float64))
        self.register_buffer("factors", torch.eye(dims, dtype=torch.float64).repeat(components, 1, 1))

    def joint(self, z: Tensor) -> Tensor:
        """log w_k N(z; m_k, L_k L_k^T): ``(B, D)`` -> ``(B, K)`` float64."""
        parts = []
        for mean, factor in zip(self.means, self.factors, strict=True):
            scaled = torch.linalg.solve_triangular(factor, (z.double() - mean).t(), upper=False)
            parts.append(-0.5 * (scaled**2).sum(0) - factor.diagonal().log().sum())
        return torch.stack(parts, 1) + self.weights.log() - 0.5 * self.dims * log(2 * pi)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.joint(z).logsumexp(1).to(z.dtype)

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        chosen = torch.multinomial(self.weights, n, replacement=True)
        eps = torch.randn(n, self.dims, dtype=torch.float64, device=self.place.device)
        noise = torch.einsum("nde,ne->nd", self.factors[chosen], eps)
        return (self.means[chosen] + temperature * noise).to(self.place.dtype)

    def cdf(self, z: Tensor) -> Tensor:
        sds = self.factors.pow(2).sum(2).sqrt()
        each = torch.special.ndtr((z.double().unsqueeze(1) - self.means) / sds)
        return (each * self.weights[:, None]).sum(1).to(z.dtype)

    def set_covariances(self, covariances: Tensor) -> None:
        """Raises ValueError where one of ``(K, D, D)`` is singular."""
        factors, failed = torch.linalg.cholesky_ex(covariances)
        if failed.any():
            raise ValueError(
                f"ridge={self.ridge}: the covariance of a component is singular; add more to the variances"
            )
        self.factors.copy_(factors)


class GaussianMixtureEM(FittedMixture):
    """With full covariances, by scikit-learn, from the centres of k-means."""

    def initialise(self, z: Tensor) -> None:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        seed = int(torch.randint(2**31, ()))
        mixture = GaussianMixture(
            self.components, reg_covar=self.ridge, max_iter=self.max_iterations, random_state=seed, tol=1e-4
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # max_iterations says when to stop
            mixture.fit(z.double().cpu().numpy())
        self.weights.copy_(torch.from_numpy(mixture.weights_))
        self.means.copy_(torch.from_numpy(mixture.means_))
        self.set_covariances(torch.from_numpy(mixture.covariances_))


class MixtureOfFactorAnalysers(FittedMixture):
    """With covariances A_k A_k^T + diag(psi), A_k ``(D, factors)``, and psi shared by all components (Ghahramani & Hinton, "The EM
    algorithm for mixtures of factor analyzers", 1996), by their expectation maximisation from random responsibilities.

    Args:
        factors: columns of A_k, at least 1.
        mixture: see :class:`FittedMixture`.
    """

    def __init__(self, *, factors: int, **mixture) -> None:
        super().__init__(**mixture)
        at_least(1, factors=factors)
        self.rank = factors

    def initialise(self, z: Tensor) -> None:
        z = z.double()
        spread = z.var(0, correction=0) + self.ridge
        self.means.copy_(z[torch.randperm(len(z))[: self.components]])
        loadings = (
            torch.randn(self.components, self.dims, self.rank, dtype=z.dtype) * (spread / self.rank).sqrt()[:, None]
        )
        psi, before = spread.clone(), -torch.inf
        for _ in range(self.max_iterations):
            self.set_covariances(loadings @ loadings.mT + psi.diag())
            joint = self.joint(z)
            now = joint.logsumexp(1).mean().item()
            if now - before < 1e-5:
                break
            before = now
            loadings, psi = self._maximise(z, F.softmax(joint, 1), loadings, psi)
        self.set_covariances(loadings @ loadings.mT + psi.diag())

    def _maximise(self, z: Tensor, shares: Tensor, loadings: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
        """New A and psi, and in place new means and weights, by responsibilities ``(N, K)``."""
        total = torch.zeros_like(psi)
        new = torch.empty_like(loadings)
        one = torch.ones(len(z), 1, dtype=z.dtype)
        for k in range(self.components):
            a, h = loadings[k], shares[:, k]
            scaled = a / psi[:, None]  # A^T (A A^T + psi)^-1 = (I + A^T psi^-1 A)^-1 A^T psi^-1
            inner = torch.linalg.inv(torch.eye(self.rank, dtype=z.dtype) + a.t() @ scaled)
            centred = z - self.means[k]
            factors = torch.cat([centred @ scaled @ inner, one], 1)  # E[f | z], and 1 for the mean
            second = torch.zeros(self.rank + 1, self.rank + 1, dtype=z.dtype)
            second[: self.rank, : self.rank] = inner * h.sum()
            second = second + (factors * h[:, None]).t() @ factors
            cross = (z * h[:, None]).t() @ factors
            extended = torch.linalg.solve(second, cross.t()).t()
            new[k], self.means[k] = extended[:, :-1], extended[:, -1]
            total += ((z**2) * h[:, None]).sum(0) - (extended * cross).sum(1)
        self.weights.copy_(shares.mean(0).clamp(min=1e-12) / shares.mean(0).clamp(min=1e-12).sum())
        return new, (total / len(z)).clamp(min=1e-9) + self.ridge
