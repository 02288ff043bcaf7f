"""What every autoregressive network offers: the parameters of all conditionals at once, or one at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Sampler = Callable[[Tensor, int], Tensor]
"""Called once per step t = 0, 1, ..., T - 1, in this sequence, with the canvas ``(B, D)``: the dimensions in the sequence
of the order, scaled to [0, 1], of which those of the first t steps are drawn and the others are arbitrary. Returns the
parameters ``(B, P)`` of step t."""


class AutoregressiveNetwork(nn.Module, ABC):
    """Parameters of the D conditionals p(x_d | x_<d), where < is one of the network's orders.

    Orders are numbered by integers: order ``k`` is a permutation of the D dimensions together with whatever else is
    drawn with it, such as the masks of MADE. Networks with one raster order know k = 0 only.

    Args:
        shape: shape of one example.
        num_params: parameters P per dimension.
        levels: number of levels of the data, whose x are multiples of 1 / (levels - 1); None for continuous data.
    """

    num_orders: int | None = 1
    """How many orders are trained; None if every non-negative integer is one."""
    group: int = 1
    """How many dimensions, one after another in the order, are drawn together in a step; T = D / group."""
    receptive_field: int | None = None
    """How many of the latest dimensions a conditional depends on; None where it depends on all earlier ones."""

    def __init__(self, shape: Sequence[int], num_params: int, levels: int | None) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.num_params = num_params
        self.levels = levels
        self.dims = torch.Size(self.shape).numel()

    @property
    def steps(self) -> int:
        """Steps T that draw one example."""
        return self.dims // self.group

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        """All conditionals.

        Args:
            x: ``(B, *shape)``, scaled to [0, 1].
            y: labels ``(B,)``, or None.
            order: number of the order.

        Returns:
            ``(B, P, *shape)``, or ``(B, P, 1, H, W)`` where the channels of a pixel are drawn together; the parameters of a
            step depend on the dimensions of earlier steps only.
        """

    def permutation(self, order: int = 0) -> Tensor:
        """The flat indices of the D dimensions in the sequence in which they are drawn: int64 ``(D,)``. By default from
        first to last; of images ``(C, H, W)`` pixel by pixel, and channel by channel within a pixel."""
        flat = torch.arange(self.dims)
        return flat.view(self.shape[0], -1).t().flatten() if len(self.shape) == 3 else flat

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        """One conditional at a time, for sampling ``n`` examples. Networks that can reuse what an earlier step computed
        override this; the result equals that of :meth:`full_sampler`."""
        return self.full_sampler(n, y, order)

    def full_sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        """The reference: a whole forward pass for every step."""
        permutation = self.permutation(order)
        places = permutation.argsort()
        steps = permutation[:: self.group].tolist()

        def step(canvas: Tensor, t: int) -> Tensor:
            params = self(canvas[:, places].view(n, *self.shape), y, order)
            return params.flatten(2)[:, :, steps[t]]

        return step


def require_images(shape: Sequence[int], network: str) -> tuple[int, int, int]:
    """``(C, H, W)`` of ``shape``.

    Raises:
        ValueError: it is not that of images; names ``network``.
    """
    if len(shape) != 3:
        raise ValueError(f"data.shape={list(shape)}: {network} models images, (C, H, W)")
    return tuple(shape)


def require_levels(levels: int | None, network: str) -> int:
    """``levels``.

    Raises:
        ValueError: the data are continuous; names ``network``.
    """
    if levels is None:
        raise ValueError(
            f"data.levels=null: {network} models data with levels; for continuous data choose model=made, nade or fvsbn"
        )
    return levels
