"""Densities in the plane whose log-density is known exactly, and data drawn from them.

A new one is a subclass of :class:`Density` and a YAML in ``conf/data/density``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genexp.data.in_memory import InMemoryData
from genexp.data.modes import Modes
from genexp.data.splits import check_splits
from genexp.probability.randomness import generator
from genexp.ranges import positive


class Density(ABC):
    """A probability density on R^2. Its ``repr`` names it and its parameters, and goes into records."""

    @abstractmethod
    def sample(self, n: int, draws: torch.Generator) -> Tensor:
        """``n`` independent draws: ``(n, 2)`` float32."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of ``(n, 2)``: ``(n,)`` in nats, in the dtype of ``x``; -inf outside the support."""


class Mixture(Density, Modes):
    """Equally weighted Gaussians: p(x) = 1/K sum_k N(x; m_k, sigma^2 I)."""

    sigma: float
    """Standard deviation of every component, above 0."""

    @property
    @abstractmethod
    def modes(self) -> Tensor:
        """The means m_k: ``(K, 2)`` float64."""

    def __post_init__(self) -> None:
        positive(**{"data.density.sigma": self.sigma})

    def sample(self, n: int, draws: torch.Generator) -> Tensor:
        component = torch.randint(len(self.modes), (n,), generator=draws)
        return self.modes[component].float() + self.sigma * torch.randn(n, 2, generator=draws)

    def log_prob(self, x: Tensor) -> Tensor:
        normaliser = math.log(len(self.modes)) + math.log(2 * math.pi * self.sigma**2)
        return torch.logsumexp(-0.5 * self._distances(x) ** 2, dim=1) - normaliser

    def _distances(self, x: Tensor) -> Tensor:
        """Of each x ``(n, 2)`` from each mean, in standard deviations: ``(n, K)``."""
        # the matrix-product form of the distance loses its digits where sigma is small
        return torch.cdist(x, self.modes.to(x), compute_mode="donot_use_mm_for_euclid_dist") / self.sigma

    @property
    def separate(self) -> bool:
        """Whether the balls of three standard deviations around the means do not overlap."""
        return not (torch.pdist(self.modes) < 6 * self.sigma).any()

    @property
    def probabilities(self) -> Tensor:
        return torch.full((len(self.modes),), 1 / len(self.modes), dtype=torch.float64)

    def nearest_mode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distance, mode = self._distances(x.double()).min(1)
        return mode, distance


@dataclass(frozen=True)
class Ring(Mixture):
    """``count`` Gaussians evenly spaced on a circle of radius ``radius``."""

    count: int
    radius: float
    sigma: float

    @property
    def modes(self) -> Tensor:
        angle = torch.arange(self.count, dtype=torch.float64) * (2 * math.pi / self.count)
        return self.radius * torch.stack([angle.cos(), angle.sin()], dim=1)


@dataclass(frozen=True)
class Grid(Mixture):
    """``side`` x ``side`` Gaussians on a square lattice of the given spacing, centred on the origin."""

    side: int
    spacing: float
    sigma: float

    @property
    def modes(self) -> Tensor:
        line = (torch.arange(self.side, dtype=torch.float64) - (self.side - 1) / 2) * self.spacing
        return torch.cartesian_prod(line, line)


@dataclass(frozen=True)
class Moons(Mixture):
    """Two interleaved half circles of radius 1, blurred: ``count`` Gaussians on each.

    The curves of scikit-learn's ``make_moons``, (cos t, sin t) and (1 - cos t, 1/2 - sin t) with t
    from 0 to pi. Here t takes the midpoints of ``count`` equal intervals: the density is a finite sum.
    """

    count: int
    sigma: float

    @property
    def modes(self) -> Tensor:
        t = (torch.arange(self.count, dtype=torch.float64) + 0.5) * (math.pi / self.count)
        upper = torch.stack([t.cos(), t.sin()], dim=1)
        return torch.cat([upper, torch.tensor([1.0, 0.5]) - upper])


@dataclass(frozen=True)
class Spirals(Mixture):
    """Two spiral arms r = t / pi, one the other mirrored at the origin, blurred: ``count`` Gaussians on each.

    t takes the midpoints of ``count`` equal intervals from 0 to 2 pi ``turns``."""

    count: int
    turns: float
    sigma: float

    @property
    def modes(self) -> Tensor:
        t = (torch.arange(self.count, dtype=torch.float64) + 0.5) * (2 * math.pi * self.turns / self.count)
        arm = (t / math.pi)[:, None] * torch.stack([t.cos(), t.sin()], dim=1)
        return torch.cat([arm, -arm])


@dataclass(frozen=True)
class Checkerboard(Density):
    """Uniform on the dark cells of a ``side`` x ``side`` board (``side`` even) with cells of width ``width``.

    Cell (i, j) is dark if i + j is even; the board is centred on the origin.
    """

    side: int
    width: float

    def __post_init__(self) -> None:
        if self.side < 2 or self.side % 2:
            raise ValueError(f"data.density.side={self.side}: must be even and at least 2")

    def sample(self, n: int, draws: torch.Generator) -> Tensor:
        column = torch.randint(self.side, (n,), generator=draws)
        row = 2 * torch.randint(self.side // 2, (n,), generator=draws) + column % 2
        cell = torch.stack([column, row], dim=1) - self.side / 2
        within = torch.rand(n, 2, generator=draws).clamp(1e-6, 1 - 1e-6)  # rounding must not leave the cell
        return (cell + within) * self.width

    def log_prob(self, x: Tensor) -> Tensor:
        cell = (x / self.width + self.side / 2).floor()
        dark = ((cell >= 0) & (cell < self.side)).all(dim=1) & (cell.sum(dim=1) % 2 == 0)
        inside = -math.log(self.side**2 / 2 * self.width**2)
        return x.new_full((len(x),), -math.inf).masked_fill(dark, inside)


class Toy(InMemoryData):
    """Independent draws from a density: float32 ``(N, 2)``, no labels.

    Args:
        density: what is drawn from.
        splits: number of draws for ``train``, ``validation`` and ``test``.
        data_seed: of the draws; the same data whatever the seed of the run.
        common: see :class:`genexp.data.in_memory.InMemoryData`.
    """

    def __init__(self, *, density: Density, splits: Mapping[str, int], data_seed: int, **common: Any) -> None:
        super().__init__(**common)
        self.density = density
        self.splits = check_splits(splits)
        self.data_seed = data_seed

    @property
    def modes(self) -> Mixture | None:
        """The density itself, if it is a mixture of Gaussians that lie apart."""
        return self.density if isinstance(self.density, Mixture) and self.density.separate else None

    def load(self, split: str) -> tuple[Tensor, None]:
        return self.density.sample(self.splits[split], generator(self.data_seed, "toy", split)), None

    def log_prob(self, x: Tensor) -> Tensor:
        """The true log-density of ``(n, 2)``: ``(n,)`` in nats."""
        return self.density.log_prob(x)

    def protocol(self, split: str) -> dict[str, Any]:
        return super().protocol(split) | {"density": repr(self.density), "data_seed": self.data_seed}
