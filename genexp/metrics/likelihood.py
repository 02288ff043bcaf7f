"""Negative log-likelihoods: exact, and bounded from above by stochastic lower bounds on log p."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from rich.console import Console
from rich.progress import track
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, LikelihoodBound
from genexp.metrics.base import Metric, Value
from genexp.probability.quantize import bits_per_dim
from genexp.probability.randomness import keyed_draws


class ExactNLL(Metric):
    """``-log p(x)``, or ``-log p(x | y)`` for a conditional model: the mean over a split.

    Values: ``<split>/nll_nats`` and, for discrete data, ``<split>/nll_bpd``; kind ``exact``.
    """

    requires = (ExactLikelihood,)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        def score(batch: int, x: Tensor, y: Tensor | None) -> Tensor:
            return model.log_prob(x, y)

        nats, labels = _negative_scores(score, model, data, split, limit=None)
        return _values(nats, labels, model, data, split, name="nll", suffix="", kind="exact")


class BoundNLL(Metric):
    """Upper bounds on ``-log p(x)``: the mean over a split of ``-model.bound(x, y, k)``.

    k = 1 is the negative ELBO; for an importance-weighted model, k > 1 is (Burda et al., 2016, eq. 8)
    ``L_k = E[log 1/k sum_i p(x, z_i) / q(z_i | x)]``, one logarithm per example, then the mean over examples.

    Values: ``<split>/nll_bound_nats_k<k>`` and, for discrete data, ``<split>/nll_bound_bpd_k<k>``; kind
    ``bound``. The standard error covers the choice of examples and the draws together.

    Args:
        ks: numbers of draws per example, each at least 1, all different.
        limit: evaluate the first ``limit`` examples only; None for all of the split.
    """

    requires = (LikelihoodBound,)

    def __init__(self, *, ks: Sequence[int], limit: int | None) -> None:
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError(f"ks={list(ks)}: must be at least one number of draws, each at least 1, all different")
        if limit is not None and limit < 1:
            raise ValueError(f"limit={limit}: must be at least 1, or null for all examples")
        self.ks = tuple(ks)
        self.limit = limit

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        values = []
        for k in self.ks:

            def score(batch: int, x: Tensor, y: Tensor | None, k: int = k) -> Tensor:
                with keyed_draws(model.device, seed, "bound", k, batch):
                    return model.bound(x, y, k)

            nats, labels = _negative_scores(score, model, data, split, self.limit)
            values += _values(nats, labels, model, data, split, name="nll_bound", suffix=f"_k{k}", kind="bound")
        return values


def _negative_scores(
    score: Callable[[int, Tensor, Tensor | None], Tensor],
    model: GenerativeModule,
    data: LightningDataModule,
    split: str,
    limit: int | None,
) -> tuple[Tensor, Tensor | None]:
    """``-score(batch index, x, y)`` of every example, or of the first ``limit``: ``(N,)`` float64, nats; and the labels
    ``(N,)``, or None."""
    console = Console()
    batches = track(
        data.loader(split),
        description=f"likelihood, {split}",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    parts, labels, missing = [], [], math.inf if limit is None else limit
    with model.evaluating(), torch.no_grad():
        for index, (x, y) in enumerate(batches):
            x, y = (None if part is None else part[: min(missing, len(x))].to(model.device) for part in (x, y))
            parts.append(-score(index, x, y).double().cpu())
            if y is not None:
                labels.append(y.cpu())
            missing -= len(x)
            if missing <= 0:
                break
    return torch.cat(parts), torch.cat(labels) if labels else None


def _values(
    nats: Tensor,
    labels: Tensor | None,
    model: GenerativeModule,
    data: LightningDataModule,
    split: str,
    *,
    name: str,
    suffix: str,
    kind: Literal["exact", "bound"],
) -> list[Value]:
    """The mean of ``nats`` ``(N,)`` with its standard error, in nats and, for discrete data, in bits/dim; over all examples
    and over those of each label."""
    protocol = data.protocol(split) | {"conditional": model.conditional, "examples": len(nats)}
    classes = {} if labels is None else {str(label): nats[labels == label] for label in labels.unique().tolist()}

    def mean(part: Tensor, scale: float) -> dict[str, Any]:
        n = len(part)
        stderr = part.std().item() / math.sqrt(n) * scale if n > 1 else None
        return {"value": part.mean().item() * scale, "stderr": stderr, "n": n}

    def value(unit: str, label: str, scale: float) -> Value:
        return Value(
            key=f"{split}/{name}_{label}{suffix}",
            unit=unit,
            kind=kind,
            direction="min",
            protocol=protocol,
            by_class={label: mean(part, scale) for label, part in classes.items()} or None,
            **mean(nats, scale),
        )

    values = [value("nats", "nats", 1.0)]
    if model.levels is not None:
        values.append(value("bits/dim", "bpd", bits_per_dim(1.0, model.dims)))
    return values
