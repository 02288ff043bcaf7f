"""FVSBN: every conditional is a logistic regression on the dimensions before it (Neal, "Connectionist learning of belief
networks", 1992; Frey, "Graphical models for machine learning and digital communication", 1998)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import Sampler
from genexp.networks.autoregressive.fixed_order import FixedOrderNetwork


class FVSBN(FixedOrderNetwork):
    """Fully visible sigmoid belief network: ``params_d = b_d + sum_{i<d} W_di x_i + U_d onehot(y)``, the logistic
    autoregression that Larochelle & Murray (2011, section 2.1) compare with.

    Where the log-likelihood is concave in the parameters, as with a Bernoulli or a categorical observation, training has
    one maximum from wherever it starts. So the weights start at zero; the biases start as those of ``nn.Linear``, which
    tells the components of a mixture apart.

    Args:
        shape: shape of one example, of any number of axes.
        num_params: parameters per dimension.
        num_classes: number of labels; 0 for an unconditional network.
        levels: see :class:`AutoregressiveNetwork`.
        random_order: see :class:`FixedOrderNetwork`.
        order_seed: see :class:`FixedOrderNetwork`.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        random_order: bool,
        order_seed: int,
    ) -> None:
        super().__init__(shape, num_params, levels, random_order, order_seed)
        self.num_classes = num_classes
        self.weight = nn.Parameter(torch.zeros(num_params, self.dims, self.dims))
        """``(P, D, D)``, of which ``mask`` keeps what comes from earlier dimensions."""
        self.bias = nn.Parameter(torch.empty(num_params, self.dims).uniform_(-1, 1) / self.dims**0.5)
        """``(P, D)``"""
        self.label = nn.Parameter(torch.zeros(num_classes, num_params, self.dims)) if num_classes else None
        """``(K, P, D)``"""
        mask = self.places[:, None] > self.places[None]
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)  # twice as fast as a Boolean one
        """``(D, D)``, 1 where column precedes row."""

    def offsets(self, y: Tensor | None) -> Tensor:
        """What the parameters are where all x are zero: ``(B, P, D)``, or ``(1, P, D)`` without labels."""
        return self.bias[None] if self.label is None else self.bias + self.label[y]

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        weight = (self.weight * self.mask).flatten(0, 1)
        params = F.linear(x.flatten(1), weight).unflatten(1, self.bias.shape)
        return (params + self.offsets(y)).unflatten(2, self.shape)

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        """Step t is the row t of every matrix: all steps together are one forward pass."""
        offsets = self.offsets(y).expand(n, -1, -1)[..., self.sequence].movedim(2, 0).contiguous()  # (D, n, P)
        weight = self.weight[:, self.sequence][..., self.sequence].transpose(0, 1).contiguous()  # (D, P, D)

        def step(canvas: Tensor, t: int) -> Tensor:
            return torch.addmm(offsets[t], canvas[:, :t], weight[t, :, :t].t())

        return step
