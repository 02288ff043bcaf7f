"""Whether data become the noise that a flow says they do."""

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LatentImage
from genexp.metrics.base import Metric
from genexp.metrics.examples import check_limit, pieces
from genexp.probability.randomness import keyed_draws
from genexp.record.values import Value


class LatentNoise(Metric):
    """The Kolmogorov-Smirnov statistic of every dimension of z, the image of the examples of a split: the largest distance between
    the distribution function of its values and that of the noise which the model says it is, 0 to 1. Each dimension by itself: how
    they depend on each other is not looked at.

    Values, kind ``estimate``: ``<split>/latent_ks``, the mean over dimensions, and ``<split>/latent_ks_largest``. Where the model
    is right the mean is about 0.87 / sqrt(n) for n examples.

    Args:
        limit: so many examples only, which the seed chooses; None for all of the split.
    """

    requires = (LatentImage,)

    def __init__(self, *, limit: int | None) -> None:
        check_limit(limit)
        self.limit = limit

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        parts = []
        batches = pieces(model, data, split, limit=self.limit, seed=seed, at_once=10_000, what="latents")
        with model.evaluating(), torch.no_grad():
            for index, x, y in batches:
                with keyed_draws(model.device, seed, "latents", index):
                    parts.append(model.latent_cdf(model.latent(x, y)).double().cpu())
        u = torch.cat(parts)
        statistics = ks_statistics(u)
        common = {
            "split": split,
            "unit": "",
            "kind": "estimate",
            "direction": "min",
            "n": len(u),
            "stderr": None,
            "protocol": data.protocol(split) | {"conditional": model.conditional, "examples": len(u)},
        }
        return [
            Value(quantity="latent_ks", value=statistics.mean().item(), **common),
            Value(quantity="latent_ks_largest", value=statistics.max().item(), **common),
        ]


def ks_statistics(u: Tensor) -> Tensor:
    """sup |F_n - F| of every column against the uniform distribution: ``(N, D)`` in [0, 1] -> ``(D,)``."""
    u = u.sort(0).values
    steps = torch.arange(len(u) + 1, dtype=u.dtype).unsqueeze(1) / len(u)
    return torch.maximum((steps[1:] - u).amax(0), (u - steps[:-1]).amax(0))
