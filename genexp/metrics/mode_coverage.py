"""How many of the known modes of a distribution a model finds, and how evenly: whether it suffers from mode collapse."""

from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.metrics.examples import share
from genexp.metrics.extractors import Extractor, to_uint8
from genexp.metrics.samples import SampleMetric
from genexp.ranges import positive
from genexp.record.values import Value


class ModeCoverage(SampleMetric):
    """Modes of a mixture (Srivastava et al. 2017, section 5; Lin et al. 2018, section 4.1), for data sets that know theirs
    (``Data.modes``). Every sample belongs to its nearest mode, and is of high quality within ``radius`` standard deviations.

    Values, kind ``estimate``:

    - ``<split>/modes_<n>``: modes with at least one sample of high quality.
    - ``<split>/high_quality_<n>``: share of the samples that are of high quality, with its binomial standard error. Of the
      data themselves it is below 1: in the plane 98.9 % lie within 3 standard deviations.
    - ``<split>/mode_reverse_kl_nats_<n>``: see :func:`reverse_kl`.

    Args:
        radius: above 0; the papers take 3.
        sampling: see :class:`genexp.metrics.samples.SampleMetric`; the papers take n = 2,500.
    """

    def __init__(self, *, radius: float, **sampling: Any) -> None:
        super().__init__(**sampling)
        positive(radius=radius)
        self.radius = radius

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if data.modes is None:
            return f"needs data whose modes are known and lie apart, and {data.name} has none"
        return super().refusal(model, data)

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        nearest, distance = data.modes.nearest_mode(self.draw(model, seed, "modes"))
        good, probabilities = distance < self.radius, data.modes.probabilities
        found = {"value": len(nearest[good].unique()), "stderr": None}
        protocol = self.protocol(model, data, split) | {"num_modes": len(probabilities), "radius_sigmas": self.radius}
        about = {"split": split, "settings": {"n": self.n}, "protocol": protocol}
        return [
            _value("modes", found | {"n": self.n}, "max", **about),
            _value("high_quality", share(good), "max", **about),
            _kl_value(nearest, probabilities, **about),
        ]


class StackedModeCoverage(SampleMetric):
    """Modes of stacked digits (Metz et al. 2017, section 3.3.1; Srivastava et al. 2017; Lin et al. 2018, section 4.2): a
    classifier reads a digit in every channel, and each combination is a mode, 1,000 for three channels.

    Values, kind ``estimate``: ``<split>/modes_<classifier>_<n>``, the modes with at least one sample, and
    ``<split>/mode_reverse_kl_nats_<classifier>_<n>``, see :func:`reverse_kl`, from the uniform distribution. The classifier
    has no answer for what is no digit, and so samples of any quality count; and other classifiers give other values.

    Args:
        extractor: whose logits are those of the digits.
        sampling: see :class:`genexp.metrics.samples.SampleMetric`; the papers take n = 26,000.
    """

    def __init__(self, *, extractor: Extractor, **sampling: Any) -> None:
        super().__init__(**sampling)
        extractor.check_labels()
        self.extractor = extractor

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if not data.stacked_digits:
            return f"needs images with a digit in every channel, as data=stacked_mnist has, and {data.name} has none"
        return super().refusal(model, data)

    def prepare(self) -> None:
        self.extractor.check()

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        x = to_uint8(self.draw(model, seed, "stacked modes"), data.levels)
        channels, labels = x.shape[1], self.extractor.num_labels
        digits = self.extractor.labels(x.flatten(0, 1)[:, None].split(self.batch_size), model.device)
        mode = (digits.view(-1, channels) * labels ** torch.arange(channels)).sum(1)
        count = labels**channels
        protocol = self.protocol(model, data, split) | {
            "num_modes": count,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
        }
        about = {"split": split, "settings": {"extractor": self.extractor.name, "n": self.n}, "protocol": protocol}
        found = {"value": len(mode.unique()), "stderr": None, "n": self.n}
        uniform = torch.full((count,), 1 / count, dtype=torch.float64)
        return [
            _value("modes", found, "max", **about),
            _kl_value(mode, uniform, **about),
        ]


def reverse_kl(modes: Tensor, probabilities: Tensor) -> float:
    """KL(p || q) = sum_k p_k log(p_k / q_k) in nats, p_k the share of samples at mode k.

    It is "reverse" because the model's distribution stands first. Of n samples of the true distribution it is (K - 1) / 2n in
    expectation, for large n, and not 0: 0.019 for n = 26,000 and K = 1,000.

    Args:
        modes: the mode of each sample, ``(n,)`` int64 in [0, K).
        probabilities: q, of the true distribution: ``(K,)``, positive.

    Returns:
        At least 0; at most ``-log min_k q_k``, where all samples are at one mode.
    """
    shares = modes.bincount(minlength=len(probabilities)).double() / len(modes)
    return (torch.xlogy(shares, shares) - torch.xlogy(shares, probabilities.double())).sum().item()


def _value(
    quantity: str, result: dict[str, Any], direction: Literal["min", "max"], unit: str = "", **about: Any
) -> Value:
    return Value(quantity=quantity, unit=unit, kind="estimate", direction=direction, **about, **result)


def _kl_value(modes: Tensor, probabilities: Tensor, **about: Any) -> Value:
    result = {"value": reverse_kl(modes, probabilities), "stderr": None, "n": len(modes)}
    return _value("mode_reverse_kl", result, "min", unit="nats", **about)
