"""What every autoregressive network offers: the parameters of all conditionals at once, or one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Decoder = Callable[[Tensor, int], Tensor]
"""Called once per step t = 0, 1, ..., D - 1 with the flat canvas ``(B, D)``, in which the first t dimensions of the
order are drawn, scaled to [0, 1]; returns the parameters ``(B, P)`` of the t-th dimension of the order."""


class AutoregressiveNetwork(nn.Module, ABC):
    """Parameters of the D conditionals p(x_d | x_<d), where < is one of the network's orders.

    Orders are numbered by integers: order ``k`` is a permutation of the D dimensions together with whatever else is
    drawn with it, such as the masks of MADE. Networks with one raster order know k = 0 only.
    """

    num_orders: int | None = 1
    """How many orders are trained; None if every non-negative integer is one."""

    def __init__(self, shape: tuple[int, ...], num_params: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.num_params = num_params
        self.dims = torch.Size(self.shape).numel()

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        """All conditionals.

        Args:
            x: ``(B, *shape)``, scaled to [0, 1].
            y: labels ``(B,)``, or None.
            order: number of the order.

        Returns:
            ``(B, P, *shape)``; the parameters of a dimension depend on the dimensions before it in the order only.
        """

    def permutation(self, order: int = 0) -> Tensor:
        """The flat indices of the D dimensions in the sequence in which they are drawn: int64 ``(D,)``."""
        return torch.arange(self.dims)

    def decoder(self, n: int, y: Tensor | None, order: int = 0) -> Decoder:
        """One conditional at a time, for sampling ``n`` examples. Networks that can reuse what an earlier step computed
        override this; the result equals that of :meth:`full_decoder`."""
        return self.full_decoder(n, y, order)

    def full_decoder(self, n: int, y: Tensor | None, order: int = 0) -> Decoder:
        """The reference: a whole forward pass for every step."""
        permutation = self.permutation(order).tolist()

        def step(canvas: Tensor, t: int) -> Tensor:
            params = self(canvas.view(n, *self.shape), y, order)
            return params.flatten(2)[:, :, permutation[t]]

        return step
