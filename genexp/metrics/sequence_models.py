"""Classical models of sequences of codes, fitted by counting and by least squares: exact probabilities of whole sequences.

All take uint8 codes ``(N, T)`` in ``[0, levels)`` and know nothing of labels.
"""

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.probability.quantize import mu_law_waveform

CHUNK = 64
"""Sequences that are looked at together."""


class MarkovChains:
    """Markov chains of the orders 0 (independent codes), 1, ..., M, each smoothed by the one below it.

    p_m(c | context) = (n(context, c) + s_m p_{m-1}(c | shorter context)) / (n(context) + s_m), where n counts in the training
    sequences and p_{-1} is uniform: the mean of a posterior under a Dirichlet prior (MacKay & Peto 1995, "A hierarchical
    Dirichlet language model"). Order 0 is add-k smoothing with k = s_0 / levels. The first M codes of a
    sequence have shorter contexts, and are given the chain of the order that fits.

    Args:
        train: sequences to count in, ``(N, T)``.
        validation: sequences ``(N', T)`` that choose each s_m in turn, by their likelihood.
        levels: number of codes L; the counts are L^(M + 1) numbers.
        order: M.
        strengths: values that s_m may have, each positive.
    """

    def __init__(self, train: Tensor, validation: Tensor, levels: int, order: int, strengths: Sequence[float]) -> None:
        self.levels = levels
        self.counts = [self._count(train, m) for m in range(order + 1)]
        self.totals = [counts.view(-1, levels).sum(1) for counts in self.counts]
        self.strengths: list[float] = []
        for _ in range(order + 1):
            scores = {}
            for strength in strengths:
                self.strengths.append(strength)
                scores[strength] = self.log_prob(validation).sum().item()
                self.strengths.pop()
            self.strengths.append(max(scores, key=scores.get))

    def _grams(self, x: Tensor, order: int) -> Tensor:
        """A number for each run of ``order`` + 1 codes: int64 ``(N, T - order)``."""
        steps = max(x.shape[1] - order, 0)
        number = torch.zeros(len(x), steps, dtype=torch.int64)
        for m in range(order + 1):
            number = number * self.levels + x[:, m : m + steps]
        return number

    def _count(self, x: Tensor, order: int) -> Tensor:
        counts = torch.zeros(self.levels ** (order + 1), dtype=torch.float64)
        for part in x.split(CHUNK):
            runs, times = self._grams(part, order).unique(return_counts=True)
            counts[runs] += times
        return counts

    def log_prob(self, x: Tensor, order: int | None = None) -> Tensor:
        """log p(x) in nats ``(N,)``, float64, under the chain of an order; by default the highest."""
        order = len(self.strengths) - 1 if order is None else order
        parts = []
        for part in x.split(CHUNK):
            p = torch.full(part.shape, 1 / self.levels, dtype=torch.float64)
            for m in range(order + 1):
                runs = self._grams(part, m)
                counts, totals = self.counts[m][runs], self.totals[m][runs // self.levels]
                p[:, m:] = (counts + self.strengths[m] * p[:, m:]) / (totals + self.strengths[m])
            parts.append(p.log().sum(1))
        return torch.cat(parts)


class LinearPrediction:
    """Each sample of a waveform is Laplace around a linear combination of those before it, integrated over the bin of each
    mu-law code.

    The bins part the real line half-way between the codes, on the companded scale, and the outermost reach to infinity, so
    the probabilities of all codes sum to 1. Before a sequence there is silence. The coefficients, and a constant, are those
    of least squares. The scale is one number, or, given a decay, one for each of 32 ranges of the recent size of the errors,
    e_t = decay e_{t-1} + (1 - decay) |error_t|, as in adaptive codecs; each has the largest likelihood of a grid. With a small
    probability a code is uniform instead, without which one loud sample after silence could cost thousands of nats.

    Args:
        train: sequences of mu-law codes ``(N, T)``.
        levels: number of codes.
        order: number of coefficients, at least 1.
        decay: in (0, 1); None for one scale.
        escape: probability that a code is uniform instead, in (0, 1).
    """

    RANGES = 32
    SAMPLES = 2_000_000
    """As many samples at most, of sequences at equal distances, find the scales."""

    def __init__(self, train: Tensor, levels: int, order: int, decay: float | None, escape: float) -> None:
        self.levels, self.order, self.decay, self.escape = levels, order, decay, escape
        codes = torch.arange(levels)
        self.values = mu_law_waveform(codes.double(), levels)
        borders = mu_law_waveform(torch.arange(levels - 1).double() + 0.5, levels)
        infinite = torch.full((1,), torch.inf, dtype=torch.float64)
        self.borders = torch.cat([-infinite, borders, infinite])
        moments = sum(rows.T @ rows for rows in map(self._rows, train.split(CHUNK)))
        self.coefficients = torch.linalg.lstsq(moments[:-1, :-1], moments[:-1, -1:], driver="gelsd").solution[:, 0]
        self.scales = self._fit_scales(train[:: max(1, -(-train.numel() // self.SAMPLES))])

    def _rows(self, x: Tensor) -> Tensor:
        """The samples before each sample, a one, and the sample itself: ``(N * T, order + 2)``."""
        v = self.values[x.long()]
        before = F.pad(v, (self.order, 0)).unfold(1, self.order, 1)[:, :-1].flatten(0, 1)
        return torch.cat([before, torch.ones(v.numel(), 1, dtype=v.dtype), v.view(-1, 1)], dim=1)

    def _predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means, and the number of the range of each sample's scale: ``(N, T)`` both."""
        rows = self._rows(x)
        means = (rows[:, :-1] @ self.coefficients).view(x.shape)
        number = torch.zeros(x.shape, dtype=torch.int64)
        if self.decay is not None:
            errors = (self.values[x.long()] - means).abs()
            recent = torch.zeros(len(x), dtype=errors.dtype)
            for t in range(1, x.shape[1]):
                recent = self.decay * recent + (1 - self.decay) * errors[:, t - 1]
                # from 2^-16 on, two ranges for each doubling
                number[:, t] = (2 * torch.log2(recent.clamp(min=2.0**-16)) + 32).clamp(0, self.RANGES - 1).long()
        return means, number

    def _log_mass(self, x: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        """log of the probability of each code ``(N, T)``: of the integral over its bin, without cancellation in the tails, and
        of the escape."""
        lower = (self.borders[x.long()] - means) / scales
        upper = (self.borders[x.long() + 1] - means) / scales
        near = torch.minimum(lower.abs(), upper.abs())
        outside = log(0.5) - near + torch.log1p(-torch.exp(lower - upper))
        around = torch.log1p(-0.5 * (torch.exp(-lower.abs()) + torch.exp(-upper.abs())))
        inside = torch.where((lower < 0) & (upper > 0), around, outside) + log(1 - self.escape)
        return torch.logaddexp(inside, inside.new_tensor(log(self.escape / self.levels)))

    def _fit_scales(self, x: Tensor) -> Tensor:
        """The scale of each range ``(32,)``: the best of a geometric grid, which is refined once."""
        means, number = self._predict(x)

        def best(grids: Tensor) -> Tensor:
            """Of the grids ``(32, G)``, the entries of the largest likelihood ``(32,)``."""
            scores = torch.zeros(grids.shape, dtype=torch.float64)
            for g, scales in enumerate(grids.unbind(1)):
                scores[:, g].index_add_(0, number.flatten(), self._log_mass(x, means, scales[number]).flatten())
            return grids.gather(1, scores.argmax(1, keepdim=True))[:, 0]

        coarse = best(torch.logspace(-5, 0, 16, dtype=torch.float64).expand(self.RANGES, -1))
        return best(coarse[:, None] * torch.logspace(-1 / 3, 1 / 3, 9, dtype=torch.float64))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats ``(N,)``, float64."""
        parts = []
        for part in x.split(CHUNK):
            means, number = self._predict(part)
            parts.append(self._log_mass(part, means, self.scales[number]).sum(1))
        return torch.cat(parts)
