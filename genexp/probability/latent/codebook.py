"""Vector quantisation: a vector is replaced by the nearest of a finite codebook (van den Oord, Vinyals, Kavukcuoglu,
"Neural discrete representation learning", NeurIPS 2017)."""

from abc import ABC, abstractmethod
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.ranges import at_least, inside


def nearest(z: Tensor, vectors: Tensor) -> Tensor:
    """Index of the vector at the smallest Euclidean distance, the first of several (equation 1 of the paper).

    Args:
        z: ``(*, D)``.
        vectors: ``(K, D)``.

    Returns:
        int64 ``(*)`` in [0, K).
    """
    return ((vectors**2).sum(1) - 2 * z @ vectors.T).argmin(-1)


def straight_through(z: Tensor, e: Tensor) -> Tensor:
    """``e``, whose gradient goes to ``z`` as if it were z (section 3.2 of the paper); all of one shape."""
    return e.detach() + (z - z.detach())


def perplexity(codes: Tensor, size: int) -> Tensor:
    """exp of the entropy of how often each code occurs in ``codes`` (integers of any shape): a scalar from 1, one code, to
    ``size``, all equally often."""
    share = codes.flatten().bincount(minlength=size) / codes.numel()
    return torch.special.entr(share).sum().exp()


class Codebook(nn.Module, ABC):
    """K vectors e_1, ..., e_K of D dimensions, and how they are learnt. They start as draws from N(0, I / D).

    Args:
        dim: D, at least 1.
        size: K, at least 2.
    """

    vectors: Tensor
    """``(K, D)``."""

    def __init__(self, *, dim: int, size: int) -> None:
        super().__init__()
        at_least(1, latent_dim=dim)
        at_least(2, **{"codebook.size": size})
        self.dim, self.size = dim, size

    def initial(self) -> Tensor:
        """Vectors to start from: ``(K, D)``."""
        return torch.randn(self.size, self.dim) / sqrt(self.dim)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise: z ``(B, D, *grid)`` -> the nearest vectors ``(B, D, *grid)`` and their codes, int64 ``(B, *grid)``."""
        with torch.no_grad():
            codes = nearest(z.movedim(1, -1), self.vectors)
        return self.lookup(codes), codes

    def lookup(self, codes: Tensor) -> Tensor:
        """The vectors of codes: integers ``(B, *grid)`` -> ``(B, D, *grid)``."""
        return F.embedding(codes.long(), self.vectors).movedim(-1, 1)

    @abstractmethod
    def objective(self, z: Tensor, e: Tensor) -> Tensor:
        """What the vectors add to the training objective, with no gradient to z: z, e ``(B, D, *grid)`` -> ``(B,)``."""

    def observe(self, z: Tensor, codes: Tensor, scores: Tensor) -> None:
        """Take note of a batch of the present training step.

        Args:
            z: what was quantised, ``(B, D, *grid)``.
            codes: by which codes, ``(B, *grid)``.
            scores: random numbers, ``(B, *grid)``, independent and of one continuous distribution.
        """

    def update(self) -> None:
        """End the training step: all processes together, after :meth:`observe` of its batches."""


class GradientCodebook(Codebook):
    """Vectors learnt by gradient descent on the second term of equation 3 of the paper, ``|sg[z] - e|^2``."""

    def __init__(self, *, dim: int, size: int) -> None:
        super().__init__(dim=dim, size=size)
        self.vectors = nn.Parameter(self.initial())

    def objective(self, z: Tensor, e: Tensor) -> Tensor:
        return ((z.detach() - e) ** 2).flatten(1).sum(1)


class MovingAverageCodebook(Codebook):
    """Every vector is a moving average of what it replaces (appendix A.1 of the paper). With n_i of the z of a training step
    nearest to e_i, over all its batches and processes,

        N_i <- decay N_i + (1 - decay) n_i,   m_i <- decay m_i + (1 - decay) sum_j z_ij,   e_i = m_i / N_i.

    Both start at 0, so that the ratio is an average without bias, and a vector stays where it is until it is used first.

    With ``restart_below``, a vector whose N_i is below it after an update is dead, and is put on one of the step's z, drawn
    without replacement, with N_i = 1 (Dhariwal et al., "Jukebox", 2020, section 3.1); this also begins the codebook from data.

    Args:
        dim: see :class:`Codebook`.
        size: see :class:`Codebook`.
        decay: in [0, 1).
        restart_below: smallest mean number of uses in a training step, in (0, 1); None leaves dead vectors alone.
    """

    def __init__(self, *, dim: int, size: int, decay: float, restart_below: float | None) -> None:
        super().__init__(dim=dim, size=size)
        inside(0, 1, ends="[)", **{"codebook.decay": decay})
        if restart_below is not None:
            inside(0, 1, hint=", or null", **{"codebook.restart_below": restart_below})
        self.decay, self.restart_below = decay, restart_below
        self.register_buffer("vectors", self.initial())
        self.register_buffer("counts", torch.zeros(size))
        """N, ``(K,)``."""
        self.register_buffer("sums", torch.zeros(size, dim))
        """m, ``(K, D)``."""
        self._seen: tuple[Tensor, ...] | None = None
        """Of the present step, on this process: n ``(K,)``, the sums of z ``(K, D)``, and the K largest scores with their z."""

    def objective(self, z: Tensor, e: Tensor) -> Tensor:
        return z.new_zeros(len(z))

    @torch.no_grad()
    def observe(self, z: Tensor, codes: Tensor, scores: Tensor) -> None:
        z, codes = z.detach().movedim(1, -1).reshape(-1, self.dim).to(self.sums.dtype), codes.flatten()
        if self._seen is None:
            nothing = self.counts.new_full((self.size,), -torch.inf)
            self._seen = (
                torch.zeros_like(self.counts),
                torch.zeros_like(self.sums),
                nothing,
                torch.zeros_like(self.sums),
            )
        counts, sums, best, spare = self._seen
        counts += codes.bincount(minlength=self.size)
        sums.index_add_(0, codes, z)
        self._seen = (
            counts,
            sums,
            *largest(torch.cat([best, scores.flatten().to(best.dtype)]), torch.cat([spare, z]), self.size),
        )

    @torch.no_grad()
    def update(self) -> None:
        if self._seen is None:
            return
        (counts, sums, best, spare), self._seen = self._seen, None
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(counts)
            torch.distributed.all_reduce(sums)
            best, spare = largest(gathered(best), gathered(spare), self.size)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        if self.restart_below is not None:
            dead = (self.counts < self.restart_below).nonzero().squeeze(1)
            dead = dead[: int(best.isfinite().sum())]  # a small batch has not enough z for all
            self.counts[dead], self.sums[dead] = 1.0, spare[: len(dead)]
        used = self.counts > 1e-6  # both decay to nothing where a vector is not used, and their ratio to noise
        self.vectors[used] = self.sums[used] / self.counts[used, None]


def largest(scores: Tensor, z: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of ``scores`` ``(N,)``, from the largest on, and the rows of z ``(N, D)`` beside them."""
    top = scores.topk(k)
    return top.values, z[top.indices]


def gathered(part: Tensor) -> Tensor:
    """The parts of all processes, equal in shape, one after another along the first axis."""
    parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)
