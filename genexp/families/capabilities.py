"""What a family can do beside sampling; evaluation asks for it by type."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class ExactLikelihood(ABC):
    """The family computes log p(x) exactly."""

    @abstractmethod
    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y) for a conditional model: ``(B,)``, exact, in nats."""


class LikelihoodBound(ABC):
    """The family computes a lower bound on log p(x)."""

    @abstractmethod
    def bound(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """A stochastic lower bound: ``(B,)`` in nats, in expectation at most log p(x), tighter for larger ``k``.

        The ELBO for k = 1, the importance-weighted bound for k > 1."""


class Completion(ABC):
    """The family draws what is missing of an example."""

    @abstractmethod
    def complete(self, x: Tensor, given: Tensor, y: Tensor | None = None, **knobs: Any) -> Tensor:
        """x with everything that is not given drawn from the model: ``(B, *shape)`` in the data space.

        Args:
            x: ``(B, *shape)`` in the data space.
            given: bool ``(*shape)``, True where x is kept.
            y: labels ``(B,)`` of a conditional model.
            knobs: as of ``sample``.
        """

    def overlooked(self, given: Tensor) -> Tensor:
        """Which of what is given has no influence on some of what :meth:`complete` draws: bool ``(*shape)``, like ``given``.
        Nothing, where every missing dimension is drawn given all that is."""
        return torch.zeros_like(given)


class Reconstruction(ABC):
    """The family encodes an example and decodes it again."""

    @abstractmethod
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """x after encoding and decoding: ``(B, *shape)`` in the data space."""
