"""Autoregressive networks of one order, raster or random."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genexp.networks.autoregressive.base import AutoregressiveNetwork
from genexp.probability.randomness import generator


class FixedOrderNetwork(AutoregressiveNetwork):
    """A network that knows one order.

    Args:
        shape: shape of one example.
        num_params: parameters per dimension.
        levels: see :class:`AutoregressiveNetwork`.
        random_order: draw the order, as a function of ``order_seed``; False is the raster order, of images ``(C, H, W)``
            pixel by pixel, and channel by channel within a pixel.
        order_seed: seed of a random order.
    """

    def __init__(
        self, shape: Sequence[int], num_params: int, levels: int | None, random_order: bool, order_seed: int
    ) -> None:
        super().__init__(shape, num_params, levels)
        sequence = AutoregressiveNetwork.permutation(self)
        if random_order:
            sequence = torch.randperm(self.dims, generator=generator(order_seed, "order"))
        self.register_buffer("sequence", sequence, persistent=False)  # a function of the config, not of training
        """Flat indices of the dimensions in the sequence of the order, ``(D,)``."""
        self.register_buffer("places", sequence.argsort(), persistent=False)
        """Place of each flat index in the order, ``(D,)``."""

    def permutation(self, order: int = 0) -> Tensor:
        return self.sequence.cpu()
