"""How far a likelihood is from the best that there is, for data whose density is known."""

from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood
from genexp.metrics.base import Metric
from genexp.metrics.examples import mean, pieces
from genexp.metrics.likelihood import DRAWS_AT_ONCE, negative_scores
from genexp.record.values import Value


class DensityGap(Metric):
    """The mean over a split of log q(x) - log p(x), q the density that the data are drawn from and p the model's: an estimate
    without bias of KL(q || p), in nats, and so 0 at best. Both logarithms are of the same draws, so that the standard error is far
    below that of -log p alone.

    Value: ``<split>/nll_gap_nats``, kind ``exact`` as the likelihood is.
    """

    requires = (ExactLikelihood,)

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if data.density is None:
            return f"needs data whose density is known, as data=toy has, and that of {data.name} is not"
        if model.conditional:
            return "is of p(x), and the model is conditional"
        return super().refusal(model, data)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        def score(index: int, x: Tensor, y: Tensor | None) -> Tensor:
            return model.log_prob(x).double() - data.density.log_prob(x.double())

        batches = pieces(model, data, split, limit=None, seed=seed, at_once=DRAWS_AT_ONCE, what="density gap")
        nats, _ = negative_scores(score, model, batches)
        return [
            Value(
                quantity="nll_gap",
                split=split,
                unit="nats",
                kind="exact",
                direction="min",
                protocol=data.protocol(split) | {"conditional": False, "examples": len(nats)},
                **mean(nats),
            )
        ]
