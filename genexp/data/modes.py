"""The modes of a distribution, for data sets that know theirs."""

from abc import ABC, abstractmethod

from torch import Tensor


class Modes(ABC):
    """K modes that lie apart, so that it can be told which of them an example belongs to."""

    @property
    @abstractmethod
    def probabilities(self) -> Tensor:
        """Of the modes: ``(K,)`` float64, positive, of sum 1."""

    @abstractmethod
    def nearest_mode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mode ``(B,)`` int64 in [0, K) that each of x ``(B, *shape)`` is nearest to, and how far it is from it, ``(B,)``
        in standard deviations of that mode."""
