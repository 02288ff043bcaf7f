"""Explicit density: p(x) = prod_d p(x_d | x_<d), with exact likelihood and ancestral sampling."""

from functools import partial
from math import log
from typing import Any

import torch
from torch import Tensor

from genexp.families.ancestral_sampling import AncestralModule, draw_steps
from genexp.families.slots.autoregressive import ConditionalsFactory, ObservationFactory
from genexp.families.slots.calling import made_by
from genexp.probability.quantize import unit
from genexp.ranges import at_least


class Autoregressive(AncestralModule):
    """Product of conditionals, whose parameters a network gives and whose form an observation model.

    A network with several orders o_1, ..., o_E is a mixture with equal weights, so its likelihood is the log of the
    mean of the orders' probabilities of a whole example (Germain et al. 2015, section 4.2; Uria et al. 2014), which is
    normalised; the mean of log-probabilities or of conditionals is not.

    A completion is a draw from p(missing | given) if what is given comes first in the order; else every missing dimension is
    drawn given those before it in the order, and what is given after it has no influence on it.

    Args:
        network: :class:`~genexp.families.slots.autoregressive.ConditionalsFactory`.
        observation: :class:`~genexp.families.slots.autoregressive.ObservationFactory`, of each conditional. Its ``group`` must be
            that of the network.
        ensemble: number E of orders in the mixture that ``log_prob`` and ``sample`` stand for, at least 1.
        validation_ensemble: number of orders in the loss in evaluation mode, at least 1.
        base: see :class:`GenerativeModule`.

    Raises:
        ValueError: an ensemble is larger than the number of orders that the network trains, or network and observation
            model do not draw the same number of dimensions in a step.
    """

    def __init__(
        self,
        *,
        network: ConditionalsFactory,
        observation: ObservationFactory,
        ensemble: int,
        validation_ensemble: int,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.observation = made_by(observation, levels=self.levels)
        self.network = made_by(
            network,
            shape=self.shape,
            num_params=self.observation.num_params,
            num_classes=self.label_width,
            levels=self.levels,
        )
        if self.observation.group != self.network.group:
            raise ValueError(
                f"model.observation: {type(self.observation).__name__} joins {self.observation.group} channels of a pixel, "
                f"{type(self.network).__name__} draws {self.network.group} together"
            )
        orders = self.network.num_orders
        at_least(1, ensemble=ensemble, validation_ensemble=validation_ensemble)
        for name, size in (("ensemble", ensemble), ("validation_ensemble", validation_ensemble)):
            if orders is not None and size > orders:
                raise ValueError(f"{name}={size}: must be at most {orders}, the number of orders trained")
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

    def overlooked(self, given: Tensor) -> Tensor:
        """See :class:`Completion`: in one of the orders, it comes after a dimension that is missing."""
        late = torch.zeros(self.dims, dtype=torch.bool)
        for order in range(self.ensemble):
            permutation = self.network.permutation(order).cpu()
            kept = given.cpu().flatten()[permutation]
            late[permutation] |= kept & (~kept).cumsum(0).bool()
        return late.view(self.shape)

    def draw_order(
        self, x: Tensor, given: Tensor, y: Tensor | None, order: int, temperature: float, incremental: bool
    ) -> Tensor:
        """``x`` with all but ``given`` drawn, in one order."""
        network = self.network
        permutation = network.permutation(order)
        kept = given.flatten()[permutation].view(network.steps, network.group)
        permutation = permutation.to(self.device)
        x = x.flatten(1)[:, permutation]
        step = (network.sampler if incremental else network.full_sampler)(len(x), y, order)
        times = self.track(range(network.steps), "sampling")
        sample = partial(self.observation.sample, temperature=temperature)
        draw_steps(x, kept, step, sample, self.levels, times, self.dtype)
        return x[:, permutation.argsort()].view(-1, *self.shape)
