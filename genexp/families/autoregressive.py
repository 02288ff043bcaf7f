"""Explicit density: p(x) = prod_d p(x_d | x_<d), with exact likelihood and ancestral sampling."""

from collections.abc import Callable
from math import log
from typing import Any

import torch
from torch import Tensor

from genexp.families.base import ExactLikelihood, GenerativeModule
from genexp.networks.autoregressive import AutoregressiveNetwork
from genexp.probability.observation import Observation
from genexp.probability.quantize import unit


class Autoregressive(GenerativeModule, ExactLikelihood):
    """Product of conditionals, whose parameters a network gives and whose form an observation model.

    A network with several orders o_1, ..., o_E is a mixture with equal weights, so its likelihood is the log of the
    mean of the orders' probabilities of a whole example (Germain et al. 2015, section 4.2; Uria et al. 2014), which is
    normalised; the mean of log-probabilities or of conditionals is not.

    Args:
        network: called with ``shape``, ``num_params``, ``num_classes``; makes the network of the conditionals.
        observation: called with ``levels``; makes the form of each conditional.
        ensemble: number E of orders in the mixture that ``log_prob`` and ``sample`` stand for, at least 1.
        validation_ensemble: number of orders in the loss in evaluation mode, at least 1.
        base: see :class:`GenerativeModule`.

    Raises:
        ValueError: an ensemble is larger than the number of orders that the network trains.
    """

    def __init__(
        self,
        *,
        network: Callable[..., AutoregressiveNetwork],
        observation: Callable[..., Observation],
        ensemble: int,
        validation_ensemble: int,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.observation = observation(levels=self.levels)
        self.network = network(shape=self.shape, num_params=self.observation.num_params, num_classes=self.label_width)
        orders = self.network.num_orders
        for name, size in (("ensemble", ensemble), ("validation_ensemble", validation_ensemble)):
            if size < 1 or (orders is not None and size > orders):
                raise ValueError(
                    f"{name}={size}: must be at least 1 and at most {orders}, the number of orders trained"
                )
        self.ensemble, self.validation_ensemble = ensemble, validation_ensemble

    def order_log_prob(self, x: Tensor, y: Tensor | None, order: int) -> Tensor:
        """log p(x | y, order) in nats: ``(B,)``."""
        params = self.network(unit(x, self.levels), self.labels(y), order)
        return self.observation.log_prob(params, x).flatten(1).sum(1)

    def ensemble_log_prob(self, x: Tensor, y: Tensor | None, size: int) -> Tensor:
        """log (1/E) sum_k p(x | y, order k) over the first ``size`` orders, in nats: ``(B,)``."""
        total = self.order_log_prob(x, y, 0)
        for order in range(1, size):
            total = torch.logaddexp(total, self.order_log_prob(x, y, order))
        return total - log(size)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.ensemble_log_prob(x, y, self.ensemble)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``: -log p(x) in nats; of one random order in training, of the validation ensemble in evaluation."""
        if not self.training:
            return {"loss": -self.ensemble_log_prob(x, y, self.validation_ensemble)}
        orders = self.network.num_orders
        order = 0 if orders == 1 else self.common_integer(2**31 if orders is None else orders)
        return {"loss": -self.order_log_prob(x, y, order)}

    def draw(self, n: int, y: Tensor | None, *, temperature: float = 1.0, incremental: bool = True) -> Tensor:
        """Ancestral sampling: each dimension in turn from its conditional.

        Args:
            n: number of examples.
            y: labels ``(n,)``, or None.
            temperature: in (0, inf); divides the logits of every conditional.
            incremental: reuse what earlier steps computed where the network can; False recomputes the whole forward
                pass for every dimension. Both give the same sample.
        """
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: must be positive")
        dtype = torch.uint8 if self.levels else torch.get_default_dtype()
        x = torch.empty(n, *self.shape, dtype=dtype, device=self.device)
        orders = torch.randint(self.ensemble, (n,)).to(self.device)
        for order in orders.unique().tolist():
            chosen = orders == order
            labels = None if y is None else y[chosen]
            x[chosen] = self._draw_order(int(chosen.sum()), labels, order, temperature, incremental)
        return x

    def _draw_order(self, n: int, y: Tensor | None, order: int, temperature: float, incremental: bool) -> Tensor:
        decoder = (self.network.decoder if incremental else self.network.full_decoder)(n, y, order)
        canvas = torch.zeros(n, self.dims, device=self.device, dtype=next(self.network.parameters()).dtype)
        x = []
        permutation = self.network.permutation(order)
        for t, d in enumerate(permutation.tolist()):
            x.append(self.observation.sample(decoder(canvas, t), temperature))
            canvas[:, d] = unit(x[-1], self.levels)
        return torch.stack(x, dim=1)[:, permutation.argsort().to(self.device)].view(n, *self.shape)
