"""Negative log-likelihoods: exact, and bounded from above by stochastic lower bounds on log p."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from math import log
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, ImportanceBound, LikelihoodBound, LikelihoodEstimate
from genexp.metrics.base import Metric
from genexp.metrics.examples import check_limit, mean, pieces
from genexp.probability.quantize import bits_per_dim
from genexp.probability.randomness import keyed_draws
from genexp.ranges import at_least
from genexp.record.values import Kind, Value

DRAWS_AT_ONCE = 200_000
"""Of latent variables in one call of a model's bound: the work of a few seconds, after which the bar moves."""


class ExactNLL(Metric):
    """``-log p(x)``, or ``-log p(x | y)`` for a conditional model: the mean over a split.

    Values: ``<split>/nll_nats`` and, for discrete data, ``<split>/nll_bpd``; kind ``exact``.
    """

    requires = (ExactLikelihood,)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        def score(index: int, x: Tensor, y: Tensor | None) -> Tensor:
            return model.log_prob(x, y)

        batches = pieces(model, data, split, limit=None, seed=seed, at_once=DRAWS_AT_ONCE, what="likelihood")
        nats, labels = negative_scores(score, model, batches)
        return likelihood_values(nats, labels, model, data, split, kind="exact")


class MarginalNLL(Metric):
    """``-log 1/C sum_c p(x | c)`` of a conditional model with C labels: as an unconditional model, whose labels are equally likely.
    The class-conditional rows of tables in the literature (Papamakarios et al. 2017) are such values, and not of p(x | y).

    Values: ``<split>/marginal_nll_nats`` and, for discrete data, ``<split>/marginal_nll_bpd``; kind ``exact``.
    """

    requires = (ExactLikelihood,)

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if not model.conditional:
            return "needs a conditional model; of others metrics=nll is the same"
        return super().refusal(model, data)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        def score(index: int, x: Tensor, y: Tensor | None) -> Tensor:
            each = [model.log_prob(x, torch.full_like(y, label)) for label in range(model.num_classes)]
            return torch.stack(each).double().logsumexp(0) - log(model.num_classes)

        at_once = max(1, DRAWS_AT_ONCE // model.num_classes)
        batches = pieces(model, data, split, limit=None, seed=seed, at_once=at_once, what="marginal likelihood")
        nats, labels = negative_scores(score, model, batches)
        values = likelihood_values(nats, labels, model, data, split, kind="exact", protocol={"labels": "averaged over"})
        return [replace(value, quantity="marginal_nll") for value in values]


class EstimatedNLL(Metric):
    """The mean over a split of an estimate of ``-log p(x)`` that is neither exact nor a bound, by a differential equation.

    Values: ``<split>/nll_ode_nats_<steps>`` and, for discrete data, ``<split>/nll_ode_bpd_<steps>``; kind ``estimate``.

    Args:
        steps: of the solver, at least 1.
    """

    requires = (LikelihoodEstimate,)

    def __init__(self, *, steps: int) -> None:
        at_least(1, steps=steps)
        self.steps = steps

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        def score(index: int, x: Tensor, y: Tensor | None) -> Tensor:
            with keyed_draws(model.device, seed, "estimate", index):
                return model.log_prob_estimate(x, y, steps=self.steps)

        batches = pieces(model, data, split, limit=None, seed=seed, at_once=2_000, what="likelihood estimate")
        nats, labels = negative_scores(score, model, batches)
        settings = {"estimator": "ode", "steps": self.steps}
        return likelihood_values(nats, labels, model, data, split, kind="estimate", settings=settings)


class SingleBoundNLL(Metric):
    """An upper bound on ``-log p(x)``: the mean over a split of ``-model.bound(x, y)``, one draw for each example, of models whose
    bound is no tighter for more draws.

    Values: ``<split>/nll_bound_nats`` and, for discrete data, ``<split>/nll_bound_bpd``; kind ``bound``.

    Args:
        limit: evaluate so many examples only, which the seed chooses; None for all of the split.
    """

    requires = (LikelihoodBound,)

    def __init__(self, *, limit: int | None) -> None:
        check_limit(limit)
        self.limit = limit

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if isinstance(model, ImportanceBound):
            return (
                f"the bound of {type(model).__name__} is tighter for more draws; metrics=bound takes their numbers, ks"
            )
        return super().refusal(model, data)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        def score(index: int, x: Tensor, y: Tensor | None) -> Tensor:
            with keyed_draws(model.device, seed, "bound", 1, index):
                return model.bound(x, y)

        batches = pieces(model, data, split, limit=self.limit, seed=seed, at_once=DRAWS_AT_ONCE, what="bound")
        nats, labels = negative_scores(score, model, batches)
        return likelihood_values(nats, labels, model, data, split, kind="bound")


class BoundNLL(Metric):
    """Upper bounds on ``-log p(x)``: the mean over a split of ``-model.bound(x, y, k)``.

    k = 1 is the negative ELBO; k > 1 is (Burda et al., 2016, eq. 8) ``L_k = E[log 1/k sum_i p(x, z_i) / q(z_i | x)]``, one
    logarithm per example, then the mean over examples.

    Values: ``<split>/nll_bound_nats_k<k>`` and, for discrete data, ``<split>/nll_bound_bpd_k<k>``; kind
    ``bound``. The standard error covers the choice of examples and the draws together. With several repeats the value is
    their mean, which has the same expectation and so the same protocol, and ``<split>/nll_bound_repeat_sd_nats_k<k>``, kind
    ``estimate``, is their standard deviation: what the draws alone do to the mean over the split.

    Args:
        ks: numbers of draws per example, each at least 1, all different.
        limit: evaluate so many examples only, which the seed chooses; None for all of the split.
        repeats: of the whole estimate with other draws, at least 1.
    """

    requires = (ImportanceBound,)

    def __init__(self, *, ks: Sequence[int], limit: int | None, repeats: int) -> None:
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError(f"ks={list(ks)}: must be at least one number of draws, each at least 1, all different")
        check_limit(limit)
        at_least(1, repeats=repeats)
        self.ks = tuple(ks)
        self.limit = limit
        self.repeats = repeats

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        values = []
        for k in self.ks:
            runs = []
            for repeat in range(self.repeats):
                again = ("repeat", repeat) if repeat else ()

                def score(index: int, x: Tensor, y: Tensor | None, k: int = k, again: tuple = again) -> Tensor:
                    with keyed_draws(model.device, seed, "bound", k, index, *again):
                        return model.bound(x, y, k)

                what = f"bound, k={k:,}" + (f", {repeat + 1} of {self.repeats}" if self.repeats > 1 else "")
                at_once = max(1, DRAWS_AT_ONCE // k)
                batches = pieces(model, data, split, limit=self.limit, seed=seed, at_once=at_once, what=what)
                nats, labels = negative_scores(score, model, batches)
                runs.append(nats)
            nats, settings = torch.stack(runs), {"k": k}
            found = likelihood_values(nats.mean(0), labels, model, data, split, kind="bound", settings=settings)
            values += found
            if self.repeats > 1:
                spread = Value(
                    quantity="nll_bound_repeat_sd",
                    split=split,
                    unit="nats",
                    kind="estimate",
                    settings=settings,
                    value=nats.mean(1).std().item(),
                    direction="min",
                    n=found[0].n,
                    stderr=None,
                    protocol=found[0].protocol | {"repeats": self.repeats},
                )
                values.append(spread)
        return values


def negative_scores(
    score: Callable[[int, Tensor, Tensor | None], Tensor],
    model: GenerativeModule,
    batches: Iterable[tuple[int, Tensor, Tensor | None]],
) -> tuple[Tensor, Tensor | None]:
    """``-score(index, x, y)`` of every example of ``batches``: ``(N,)`` float64, nats; and the labels ``(N,)``, or None."""
    parts, labels = [], []
    with model.evaluating(), torch.no_grad():
        for index, x, y in batches:
            parts.append(-score(index, x, y).double().cpu())
            if y is not None:
                labels.append(y.cpu())
    return torch.cat(parts), torch.cat(labels) if labels else None


def likelihood_values(
    nats: Tensor,
    labels: Tensor | None,
    model: GenerativeModule,
    data: LightningDataModule,
    split: str,
    *,
    kind: Kind,
    settings: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
) -> list[Value]:
    """The mean of ``nats`` ``(N,)``, -log p(x), with its standard error, in nats and, for discrete data, in bits/dim; over all
    examples and over those of each label.

    Args:
        nats: of every example.
        labels: ``(N,)``, or None.
        model, data, split: what they are of.
        kind: of the values.
        settings: of the values; see :class:`Value`.
        protocol: entries beside those of the data.
    """
    common = data.protocol(split) | {"conditional": model.conditional, "examples": len(nats)} | dict(protocol or {})
    classes = {} if labels is None else {str(label): nats[labels == label] for label in labels.unique().tolist()}

    def value(unit: str, scale: float) -> Value:
        return Value(
            quantity="nll",
            split=split,
            unit=unit,
            kind=kind,
            settings=dict(settings or {}),
            direction="min",
            protocol=common,
            by_class={label: mean(part, scale) for label, part in classes.items()} or None,
            **mean(nats, scale),
        )

    values = [value("nats", 1.0)]
    if model.levels is not None:
        values.append(value("bits/dim", bits_per_dim(1.0, model.dims)))
    return values
