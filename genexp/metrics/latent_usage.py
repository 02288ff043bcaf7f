"""What a model's latent variables carry: rate and distortion, active units, the aggregate posterior."""

from dataclasses import dataclass
from math import log
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LatentVariables
from genexp.metrics.base import Metric
from genexp.metrics.examples import check_limit, mean, pieces
from genexp.probability.latent.discrepancy import inverse_multiquadratic_mmd
from genexp.probability.randomness import keyed_draws
from genexp.ranges import at_least, positive
from genexp.record.values import Value


@dataclass
class _Inferred:
    """Of N examples, on the CPU in float64: one draw z ~ q(z | x) of each ``(N, D)``, its log q(z | x), log p(z) and
    log p(x | z) ``(N,)``, the mean of q ``(N, D)``, and KL(q(z_d | x) || p(z_d)) ``(N, D)`` where it is known."""

    z: Tensor
    log_q: Tensor
    log_prior: Tensor
    log_conditional: Tensor
    means: Tensor
    rates: Tensor | None


class Latents(Metric):
    """Measures of q(z | x) and of its mean over the first N examples, q(z) = (1/N) sum_j q(z | x_j), by one draw z_i of each.

    Values, kind ``estimate``, information in nats:

    - ``<split>/rate_nats``: E[KL(q(z|x) || p(z))], in closed form where there is one, with the dimensions of z as its
      ``parts``; else E[log q(z|x) - log p(z)] of the draws. ``<split>/distortion_nats``: -E[log p(x|z)] of the draws. Their
      sum is the negative ELBO (Alemi et al. 2018).
    - ``<split>/active_units``: dimensions of z where the mean of q(z|x) varies, Cov_x(E_q[z_d]) > threshold (Burda et al.
      2016, section 5).
    - ``<split>/mutual_information_nats``: I_q(x; z), the mean of log q(z_i|x_i) - log q(z_i), and
      ``<split>/aggregate_kl_nats``: KL(q(z) || p(z)), the mean of log q(z_i) - log p(z_i), the two parts of the rate of the
      draws (Hoffman & Johnson 2016). They are those of the N examples. Of the distribution that the examples come from the
      former is too small and the latter too large in expectation, since z_i's own x_i is among the N: the mutual information
      is at most log N, and close to that the two say nothing but that it is large. Not computed where q(z|x) is known at
      its own draws only.
    - ``<split>/latent_mmd``: squared MMD between the z_i and N draws from p(z), kernel C / (C + |u - v|^2) with C = 2 D
      (Tolstikhin et al. 2018), without bias, so that it may be slightly negative.

    Of a conditional model they are those of q(z | x, y), and the information is that on x and y together.

    Args:
        limit: so many examples only, which the seed chooses; None for all. The time grows with the square of their number.
        active_threshold: of the variance of a dimension's mean above which it is active, positive.
        pairs_at_once: pairs of z and x that are compared at once, at least 1: limits the memory.
    """

    requires = (LatentVariables,)

    def __init__(self, *, limit: int | None, active_threshold: float, pairs_at_once: int) -> None:
        check_limit(limit)
        if limit is not None:
            at_least(2, hint=", for there are variances over examples", limit=limit)
        positive(active_threshold=active_threshold)
        at_least(1, pairs_at_once=pairs_at_once)
        self.limit, self.active_threshold, self.pairs_at_once = limit, active_threshold, pairs_at_once

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        with model.evaluating(), torch.no_grad():
            found = self._infer(model, data, split, seed)
            aggregate = self._log_aggregate(model, data, split, found.z, seed)
            with keyed_draws(model.device, seed, "latents", "prior"):
                prior = model.sample_prior(len(found.z)).double().cpu()
        n, units = found.z.shape
        protocol = data.protocol(split) | {"conditional": model.conditional, "examples": n}

        def value(
            quantity: str,
            result: dict[str, Any],
            direction: Literal["min", "max"],
            unit: str = "nats",
            parts: dict[str, dict[str, Any]] | None = None,
            **settings: Any,
        ) -> Value:
            return Value(
                quantity=quantity,
                split=split,
                unit=unit,
                kind="estimate",
                direction=direction,
                protocol=protocol | settings,
                parts=parts,
                **{"n": n, "stderr": None} | result,
            )

        parts, rate = None, found.log_q - found.log_prior
        if found.rates is not None:
            rate = found.rates.sum(1)
            parts = {str(d): _part(found.rates[:, d]) for d in range(units)}
        active = (found.means.var(0) > self.active_threshold).sum().item()
        values = [
            value("rate", mean(rate), "min", parts=parts),
            value("distortion", mean(-found.log_conditional), "min"),
            value("active_units", {"value": active}, "max", unit="", threshold=self.active_threshold, of=units),
        ]
        if aggregate is not None:
            values.append(value("mutual_information", mean(found.log_q - aggregate), "max", at_most=round(log(n), 2)))
            values.append(value("aggregate_kl", mean(aggregate - found.log_prior), "min"))
        scale = 2.0 * units
        mmd = inverse_multiquadratic_mmd(found.z, prior, scale, max(1, self.pairs_at_once // n))
        kernel = "inverse multiquadratic"
        return [*values, value("latent_mmd", {"value": mmd}, "min", unit="", kernel=kernel, kernel_scale=scale)]

    def _infer(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> _Inferred:
        columns: list[list[Tensor]] = [[] for _ in range(6)]
        inputs = pieces(model, data, split, limit=self.limit, seed=seed, at_once=1000, what="latent variables")
        for index, x, y in inputs:
            with keyed_draws(model.device, seed, "latents", index):
                z, log_q = (drawn[0] for drawn in model.infer(x, y))
            row = z, log_q, model.log_prior(z), model.log_conditional(x, z, y), model.latent_mean(x, y)
            for column, part in zip(columns, (*row, model.latent_rates(x, y)), strict=True):
                if part is not None:
                    column.append(part.double().cpu())
        return _Inferred(*(torch.cat(column) if column else None for column in columns))

    def _log_aggregate(
        self, model: GenerativeModule, data: LightningDataModule, split: str, z: Tensor, seed: int
    ) -> Tensor | None:
        """log q(z_i) ``(N,)`` in nats by a running log-sum-exp over the examples; None where it is not known."""
        total, inputs = None, z.to(model.device, model.dtype)
        at_once = max(1, self.pairs_at_once // len(z))
        what = "aggregate posterior"
        for _, x, y in pieces(model, data, split, limit=self.limit, seed=seed, at_once=at_once, what=what):
            pairs = model.log_posterior(inputs, x, y)
            if pairs is None:
                model.context.note("mutual information and aggregate KL skipped: q(z|x) is known at its own draws only")
                return None
            part = pairs.logsumexp(1).double().cpu()
            total = part if total is None else torch.logaddexp(total, part)
        return total - log(len(z))


def _part(values: Tensor) -> dict[str, Any]:
    found = mean(values)
    return {"value": found["value"], "stderr": found["stderr"]}
