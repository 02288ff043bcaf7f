"""Explicit density in any order: one network for the conditionals of all D! orders of the dimensions (Uria, Murray,
Larochelle, "A deep and tractable density estimator", ICML 2014)."""

from math import log
from typing import Any

import torch
from torch import Tensor

from genexp.families.ancestral_sampling import AncestralModule
from genexp.families.slots.autoregressive import MaskedNetworkFactory, ObservationFactory
from genexp.families.slots.calling import made_by
from genexp.probability.quantize import unit
from genexp.probability.randomness import generator
from genexp.ranges import at_least


class OrderAgnostic(AncestralModule):
    """Every order o of the dimensions gives a density p(x | o) = prod_t p(x_{o_t} | x_{o_1}, ..., x_{o_{t-1}}) by the same
    network, which is told what is given. All orders are trained together; the model that is evaluated and sampled is the
    mixture of ``ensemble`` of them (EoNADE), whose likelihood is exact. The same objective is that of order-agnostic
    autoregressive diffusion (Hoogeboom et al., ICLR 2022) and of diffusion with an absorbing state (Austin et al. 2021) in
    continuous time.

    The orders of the mixture are fixed by their number and ``order_seed``. The figures of the paper for one ordering are
    the mean over random orders of log p(x | o), for several the log of the mean of p(x | o).

    Of a completion any set may be given, and all of it has its influence: what order-agnostic training is for. The missing
    dimensions are drawn in the sequence of an order of the ensemble, after those that are given: a draw from p(missing | given,
    order), exact for the order that begins with what is given. (Orders are trained to agree, but nothing makes them: this is
    not the conditional of the mixture whose likelihood is :meth:`log_prob`.)

    Args:
        network: :class:`~genexp.families.slots.autoregressive.MaskedNetworkFactory`.
        observation: :class:`~genexp.families.slots.autoregressive.ObservationFactory`, of each conditional, with ``group`` 1.
        ensemble: number E of orders in the mixture that ``log_prob`` and ``sample`` stand for, at least 1.
        order_seed: seed of the orders.
        validation_pairs: how many pairs of estimates are averaged in the loss in evaluation mode, at least 1.
        chunk: at most this many examples go through the network at once in ``log_prob``, which limits its memory; at
            least 1.
        base: see :class:`GenerativeModule`.

    Raises:
        ValueError: a number is below 1, or the observation model joins the channels of a pixel.
    """

    def __init__(
        self,
        *,
        network: MaskedNetworkFactory,
        observation: ObservationFactory,
        ensemble: int,
        order_seed: int,
        validation_pairs: int,
        chunk: int,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        at_least(1, ensemble=ensemble, validation_pairs=validation_pairs, chunk=chunk)
        self.observation = made_by(observation, levels=self.levels)
        if self.observation.group != 1:
            raise ValueError(
                f"model.observation: {type(self.observation).__name__} joins {self.observation.group} channels of a "
                "pixel, but an order-agnostic model draws every dimension by itself"
            )
        self.network = made_by(
            network,
            shape=self.shape,
            num_params=self.observation.num_params,
            num_classes=self.label_width,
            levels=self.levels,
        )
        self.ensemble, self.order_seed = ensemble, order_seed
        self.validation_pairs, self.chunk = validation_pairs, chunk

    def permutation(self, order: int) -> Tensor:
        """The flat indices of the D dimensions in the sequence of order number ``order``: int64 ``(D,)``."""
        return torch.randperm(self.dims, generator=generator(self.order_seed, "order", order))

    # --- training ---------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``: an unbiased estimate of the mean over all orders of -log p(x | y, order), in nats (Uria et al. 2014,
        section 3): for a number t of given dimensions uniform in {0, ..., D - 1}, and a uniformly random set of so many,
        D / (D - t) times the sum over the missing dimensions d of -log p(x_d | given).

        Every example has an order and a place t in it of its own: given is what comes before that place. In evaluation
        mode the estimate is the mean over ``validation_pairs`` orders and over an antithetic pair, what comes before the
        place and what comes after it: t and D - 1 - t dimensions, of which the one estimate is large where the other is
        small.
        """
        y = self.labels(y)
        if self.training:
            before, _ = self._around_a_place(len(x))
            return {"loss": self.estimate(x, before, y)}
        pairs = [self._around_a_place(len(x)) for _ in range(self.validation_pairs)]
        return {"loss": torch.stack([self.estimate(x, given, y) for pair in pairs for given in pair]).mean(0)}

    def _around_a_place(self, n: int) -> tuple[Tensor, Tensor]:
        """The dimensions before and after a uniformly random place in a uniformly random order: bool ``(n, D)`` each.

        The order is that of D normal draws, the place that of a dimension that one more draw chooses; so no order is
        sorted, which would take as long as the network."""
        draws = self.noise(n, self.dims + 1)
        order, choice = draws[:, :-1], draws[:, -1:]
        # the distribution function makes a normal draw uniform; where it rounds to 1, it is the last dimension
        chosen = (torch.special.ndtr(choice) * self.dims).long().clamp(max=self.dims - 1)
        place = order.gather(1, chosen)
        return order < place, order > place

    def estimate(self, x: Tensor, given: Tensor, y: Tensor | None) -> Tensor:
        """D / (D - t) sum_{d missing} -log p(x_d | given, y), for ``given`` bool ``(B, D)`` with t < D true in each row, in
        nats: ``(B,)``. ``y`` as the networks take it."""
        scaled = unit(x, self.levels)
        mask = given.view_as(x).to(scaled.dtype)
        params = self.network(scaled * mask, mask, y)
        missing = self.observation.log_prob(params, x).flatten(1).masked_fill(given, 0).sum(1)
        return -missing * (self.dims / (self.dims - given.sum(1)))

    # --- likelihood -------------------------------------------------------------------------------------------

    def order_log_prob(self, x: Tensor, y: Tensor | None, order: int) -> Tensor:
        """log p(x | y, order) in nats: ``(B,)``, exact, without gradients; the network is evaluated D times."""
        y = self.labels(y)
        parts = [
            self._order_log_prob(x[i : i + self.chunk], None if y is None else y[i : i + self.chunk], order)
            for i in range(0, len(x), self.chunk)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def _order_log_prob(self, x: Tensor, y: Tensor | None, order: int) -> Tensor:
        permutation = self.permutation(order)
        scaled = unit(x, self.levels)
        sampler = self.network.sampler(scaled, torch.zeros(self.shape, dtype=torch.bool), y)
        values, params = scaled.flatten(1).t().contiguous().unbind(), []
        for d in permutation.tolist():
            params.append(sampler.params(d))
            sampler.give(d, values[d])
        x = x.flatten(1)[:, permutation.to(x.device)]
        return self.observation.log_prob(torch.stack(params, dim=2), x).sum(1)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log (1/E) sum_k p(x | y, order k) over the orders of the ensemble, in nats: ``(B,)``, exact; without gradients,
        since training goes by :meth:`loss`. Each order costs D evaluations of the network."""
        total = self.order_log_prob(x, y, 0)
        for order in range(1, self.ensemble):
            total = torch.logaddexp(total, self.order_log_prob(x, y, order))
        return total - log(self.ensemble)

    # --- sampling ---------------------------------------------------------------------------------------------

    def draw_order(
        self, x: Tensor, given: Tensor, y: Tensor | None, order: int, temperature: float, incremental: bool
    ) -> Tensor:
        """``x`` with all but ``given`` drawn, in the sequence of one order."""
        kept = given.flatten().tolist()
        missing = [d for d in self.permutation(order).tolist() if not kept[d]]
        sampler = (self.network.sampler if incremental else self.network.full_sampler)(unit(x, self.levels), given, y)
        columns = x.flatten(1).t().contiguous()
        column = columns.unbind()
        for d in self.track(missing, "sampling"):
            drawn = self.observation.sample(sampler.params(d), temperature)
            column[d].copy_(drawn)
            sampler.give(d, unit(drawn, self.levels))
        return columns.t().reshape(x.shape)
