"""What a model of sequences has to beat: the likelihoods of classical models on the same codes."""

import math
from collections.abc import Sequence

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.metrics.sequence_models import LinearPrediction, MarkovChains
from genexp.probability.quantize import bits_per_dim
from genexp.ranges import at_least, inside
from genexp.record.values import Value


class Floors(Metric):
    """Bits per code of a split under models that are fitted on the training split; the generative model is not used.

    Values, of the kind ``exact`` since each is the length of a proper code of whole sequences:
    ``<split>/floor_uniform_bpd``; ``floor_unigram_bpd``, independent codes; ``floor_markov1_bpd`` and ``floor_markov2_bpd``
    (:class:`genexp.metrics.sequence_models.MarkovChains`); and of sound ``floor_linear_bpd`` and
    ``floor_linear_adaptive_bpd`` (:class:`genexp.metrics.sequence_models.LinearPrediction` with one scale, and with scales
    that follow the recent errors).

    Args:
        strengths: values of the smoothing of Markov chains, from which the validation split chooses; each positive.
        linear_order: number of coefficients of linear prediction, at least 1.
        decays: of the recent errors, from which the validation split chooses; each in (0, 1).
        escape: probability that a code is uniform instead of around its linear prediction, in (0, 1).
    """

    requires = (GenerativeModule,)

    def __init__(
        self, *, strengths: Sequence[float], linear_order: int, decays: Sequence[float], escape: float
    ) -> None:
        if not strengths or not all(strength > 0 for strength in strengths):
            raise ValueError(f"strengths={list(strengths)}: must be at least one number, each positive")
        at_least(1, linear_order=linear_order)
        if not decays or not all(0 < decay < 1 for decay in decays):
            raise ValueError(f"decays={list(decays)}: must be at least one number, each in (0, 1)")
        inside(0, 1, escape=escape)
        self.strengths, self.linear_order, self.decays, self.escape = (
            tuple(strengths),
            linear_order,
            tuple(decays),
            escape,
        )

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if len(data.shape) != 1 or data.levels is None:
            return f"needs sequences of codes, of shape [T] with levels: data.shape={list(data.shape)}"
        return super().refusal(model, data)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        train, validation, x = (_codes(data, part) for part in ("train", "validation", split))
        protocol = data.protocol(split) | {"fitted_on": f"train, {len(train):,} sequences"}

        def value(name: str, log_prob: Tensor, **settings: float | str) -> Value:
            bits = bits_per_dim(-log_prob, x.shape[1])
            return Value(
                quantity=f"floor_{name}",
                split=split,
                value=bits.mean().item(),
                unit="bits/dim",
                kind="exact",
                direction="min",
                n=len(x),
                stderr=bits.std().item() / math.sqrt(len(x)) if len(x) > 1 else None,
                protocol=protocol | settings,
            )

        uniform = torch.full((len(x),), -x.shape[1] * math.log(data.levels), dtype=torch.float64)
        chains = MarkovChains(train, validation, data.levels, 2, self.strengths)
        values = [value("uniform", uniform)]
        for order, name in enumerate(("unigram", "markov1", "markov2")):
            used = ", ".join(f"{strength:g}" for strength in chains.strengths[: order + 1])
            values.append(value(name, chains.log_prob(x, order), smoothing=used))
        if data.sample_rate is not None:
            order = self.linear_order
            one = LinearPrediction(train, data.levels, order, None, self.escape)
            values.append(value("linear", one.log_prob(x), order=order, escape=self.escape))
            several = [LinearPrediction(train, data.levels, order, decay, self.escape) for decay in self.decays]
            best = max(several, key=lambda fitted: fitted.log_prob(validation).sum().item())
            values.append(value("linear_adaptive", best.log_prob(x), order=order, decay=best.decay, escape=self.escape))
        return values


def _codes(data: LightningDataModule, split: str) -> Tensor:
    return torch.cat([x for x, _ in data.loader(split)])
