"""What every network of an order-agnostic model offers: parameters of every dimension given any others, at once or one at a
time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MaskedSampler(ABC):
    """The conditionals of ``n`` examples in each of which the same dimensions are given, and more step by step; to be made
    and called under ``torch.no_grad``. A dimension is named by its flat index in {0, ..., D - 1}."""

    @abstractmethod
    def params(self, d: int) -> Tensor:
        """Parameters ``(n, P)`` of the conditional of dimension ``d``, which is missing, given those that are given."""

    @abstractmethod
    def give(self, d: int, x: Tensor) -> None:
        """From now on dimension ``d``, which was missing, is given: ``x`` ``(n,)``, scaled to [0, 1]."""


class MaskedNetwork(nn.Module, ABC):
    """Parameters of the conditionals p(x_d | x_given) for every set of given dimensions: a network is told which they are.

    Args:
        shape: shape of one example.
        num_params: parameters P per dimension.
        levels: number of levels of the data, whose x are multiples of 1 / (levels - 1); None for continuous data.
    """

    def __init__(self, shape: Sequence[int], num_params: int, levels: int | None) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.num_params = num_params
        self.levels = levels
        self.dims = torch.Size(self.shape).numel()

    @abstractmethod
    def forward(self, x: Tensor, mask: Tensor, y: Tensor | None = None) -> Tensor:
        """The conditionals of all dimensions, each given the dimensions where the mask is 1.

        Args:
            x: ``(B, *shape)``, scaled to [0, 1]; 0 where the mask is 0.
            mask: ``(B, *shape)``, of the dtype of ``x``: 1 where x is given, 0 where it is missing.
            y: labels ``(B,)``, or None.

        Returns:
            ``(B, P, *shape)``; those of a dimension that is given mean nothing.
        """

    def sampler(self, x: Tensor, given: Tensor, y: Tensor | None) -> MaskedSampler:
        """One conditional at a time. Networks that can reuse what an earlier step computed override this; the result
        equals that of :meth:`full_sampler`.

        Args:
            x: ``(n, *shape)``, scaled to [0, 1]; arbitrary where it is missing.
            given: bool ``(*shape)``, True where x is given.
            y: labels ``(n,)``, or None.
        """
        return self.full_sampler(x, given, y)

    def full_sampler(self, x: Tensor, given: Tensor, y: Tensor | None) -> MaskedSampler:
        """The reference: a whole forward pass for every step."""
        return FullMaskedSampler(self, x, given, y)


class FullMaskedSampler(MaskedSampler):
    """A whole forward pass for every step."""

    def __init__(self, network: MaskedNetwork, x: Tensor, given: Tensor, y: Tensor | None) -> None:
        self.network, self.y = network, y
        self.mask = given.to(x).flatten().repeat(len(x), 1)
        self.x = x.flatten(1) * self.mask

    def params(self, d: int) -> Tensor:
        shape = (-1, *self.network.shape)
        return self.network(self.x.view(shape), self.mask.view(shape), self.y).flatten(2)[:, :, d]

    def give(self, d: int, x: Tensor) -> None:
        self.x[:, d] = x
        self.mask[:, d] = 1
