"""Fidelity of samples to a reference split: FID, Inception score, KID, precision and recall, density and coverage."""

from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from genexp.families.base import GenerativeModule
from genexp.metrics.extractors import Extractor, to_uint8
from genexp.metrics.feature_cache import kept
from genexp.metrics.manifold import density_and_coverage
from genexp.metrics.samples import SampleMetric
from genexp.probability.randomness import generator
from genexp.ranges import at_least
from genexp.record.values import Value


class Fidelity(SampleMetric):
    """torch-fidelity's metrics, and density and coverage, between ``n`` samples of the model and a reference split.

    Values ``<split>/<metric>_<extractor>_<n>``, e.g. ``test/fid_mnistcnn_1k``, kind ``estimate``:

    - ``fid`` (Heusel et al., 2017, eq. 6): ``|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))``. Biased
      upwards, the more so the smaller ``n``: FIDs at different ``n`` never compare.
    - ``is`` (Salimans et al., 2016): ``exp E KL(p(y|x) || p(y))``, the mean over ``is_splits`` parts of the
      samples. Papers print the standard deviation over the parts; the standard error is that over
      ``sqrt(is_splits)``.
    - ``kid`` (Binkowski et al., 2018): unbiased squared MMD with the kernel ``(f.g / F + 1)^3``, the mean
      over random subsets; may be slightly negative.
    - ``precision``, ``recall`` (Kynkaanniemi et al., 2019, eq. 1-2): share of samples inside the reference's
      manifold, and of references inside the samples', each manifold a union of balls to the k-th neighbour.
      As in the paper both sides have equally many points: of a larger reference, a fixed subset of ``n``.
    - ``density``, ``coverage`` (Naeem et al., 2020, section 3): how many balls of the reference hold a sample, over k, and
      the share of its balls that hold one; see :func:`genexp.metrics.manifold.density_and_coverage`. The same points as
      for precision and recall.

    Args:
        extractor: the network whose features are compared.
        reference: the split whose examples, all of them, are the reference; None for the evaluated split.
        kid_subset_size: examples per KID subset, at most ``n``.
        kid_subsets: number of KID subsets.
        is_splits: number of parts for the Inception score, at most ``n``.
        prc_neighborhood: which neighbour (k) sets the radius of a ball, below ``n``; the paper takes 3.
        density_neighborhood: the same for density and coverage; the paper takes 5.
        cache_dir: folder for the features of references, keyed by the examples, the split, n and the weights; None to
            keep none.
        sampling: see :class:`genexp.metrics.samples.SampleMetric`.
    """

    def __init__(
        self,
        *,
        extractor: Extractor,
        reference: Literal["train", "validation", "test"] | None,
        kid_subset_size: int,
        kid_subsets: int,
        is_splits: int,
        prc_neighborhood: int,
        density_neighborhood: int,
        cache_dir: str | None,
        **sampling: Any,
    ) -> None:
        super().__init__(**sampling)
        self.extractor = extractor
        self.reference = reference
        self.kid_subset_size = kid_subset_size
        self.kid_subsets = kid_subsets
        self.is_splits = is_splits
        self.prc_neighborhood, self.density_neighborhood = prc_neighborhood, density_neighborhood
        self.cache_dir = None if cache_dir is None else Path(cache_dir)
        self._said: set[str] = set()
        at_least(1, kid_subset_size=kid_subset_size, kid_subsets=kid_subsets, is_splits=is_splits)
        at_least(1, prc_neighborhood=prc_neighborhood, density_neighborhood=density_neighborhood)
        if is_splits > self.n:
            raise ValueError(f"is_splits={is_splits}: must be at most n={self.n}")
        if problem := self._too_few(self.n, f"n={self.n}"):
            raise ValueError(problem)

    def _too_few(self, size: int, what: str) -> str | None:
        """Which argument asks for more than ``size`` examples; None if all fit."""
        if self.kid_subset_size > size:
            return f"kid_subset_size={self.kid_subset_size}: must be at most {what}"
        for name in ("prc_neighborhood", "density_neighborhood"):
            if getattr(self, name) >= size:
                return f"{name}={getattr(self, name)}: must be below {what}"
        return None

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        reason = self.extractor.refusal(data) or super().refusal(model, data)
        if reason or self.reference is None:
            return reason
        size = data.size(self.reference)
        return self._too_few(size, f"the {size} examples of reference={self.reference}")

    def prepare(self) -> None:
        self.extractor.check()

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        reference = self.reference or split
        size = data.size(reference)
        if problem := self._too_few(size, f"the {size} examples of reference={reference}"):
            raise ValueError(problem)
        network = self.extractor.on(model.device)
        expected = self._reference_features(network, data, reference, model)
        drawn = to_uint8(self.draw(model, seed, "fidelity"), data.levels)
        found = self.extractor.features(network, drawn.split(self.batch_size), model.device)
        protocol = self.protocol(model, data, reference) | {
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "reference": reference,
            "reference_n": size,
        }
        return self._values(found, expected, split, protocol)

    def _reference_features(
        self, network: FeatureExtractorBase, data: LightningDataModule, reference: str, model: GenerativeModule
    ) -> dict[str, Tensor]:
        """The features of the reference by layer, from the cache if these examples and weights were seen before."""

        def compute() -> dict[str, Tensor]:
            images = (to_uint8(x, data.levels) for x, _ in data.loader(reference, self.batch_size))
            return self.extractor.features(network, images, model.device)

        if self.cache_dir is None:
            return compute()
        size = data.size(reference)
        seen = f"{reference}-{size}-levels{data.levels}-{data.fingerprint(reference)}"
        name = f"{self.extractor.name}-{self.extractor.sha256[:16]}-{seen}"
        return kept(self.cache_dir, name, compute, network.features_list, size, lambda text: self._note(model, text))

    def _note(self, model: GenerativeModule, text: str) -> None:
        """Say a thing once, however often the metric is computed."""
        if text not in self._said:
            self._said.add(text)
            model.context.note(text)

    def _values(
        self, found: dict[str, Tensor], expected: dict[str, Tensor], split: str, protocol: dict[str, Any]
    ) -> list[Value]:
        """All metrics from the features of the samples and of the reference."""
        f, g = found[self.extractor.feature_layer], expected[self.extractor.feature_layer]
        logits = found[self.extractor.logits_layer]
        statistics = (fid_features_to_statistics(f), fid_features_to_statistics(g))
        results = fid_statistics_to_metric(*statistics, verbose=False)
        results |= isc_features_to_metric(logits, self.is_splits)
        kid = {"kid_subsets": self.kid_subsets, "kid_subset_size": self.kid_subset_size}
        results |= kid_features_to_metric(f, g, **kid, verbose=False)
        equal = g
        if len(g) > self.n:
            equal = g[torch.randperm(len(g), generator=generator(0, "precision and recall"))[: self.n]]
        prc = {"prc_neighborhood": self.prc_neighborhood}
        results |= prc_features_to_metric(f, equal, **prc, prc_batch_size=1000, save_cpu_ram=True, verbose=False)
        results["density"], results["coverage"] = density_and_coverage(equal, f, self.density_neighborhood)

        def value(
            name: str,
            key: str,
            direction: Literal["min", "max"],
            extra: dict[str, int],
            stderr: float | None = None,
        ) -> Value:
            return Value(
                quantity=name,
                split=split,
                settings={"extractor": self.extractor.name, "n": self.n},
                value=results[key],
                unit="",
                kind="estimate",
                direction=direction,
                n=self.n,
                stderr=stderr,
                protocol=protocol | extra,
            )

        is_stderr = results["inception_score_std"] / self.is_splits**0.5 if self.is_splits > 1 else None
        balls = {"density_neighborhood": self.density_neighborhood, "density_reference_n": len(equal)}
        return [
            value("fid", "frechet_inception_distance", "min", {}),
            value("is", "inception_score_mean", "max", {"is_splits": self.is_splits}, is_stderr),
            value("kid", "kernel_inception_distance_mean", "min", kid),
            value("precision", "precision", "max", prc | {"prc_reference_n": len(equal)}),
            value("recall", "recall", "max", prc | {"prc_reference_n": len(equal)}),
            value("density", "density", "max", balls),
            value("coverage", "coverage", "max", balls),
        ]
