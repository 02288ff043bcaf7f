"""Whether samples of a class-conditional model are of the class that was asked for."""

from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.metrics.examples import share
from genexp.metrics.extractors import Extractor, to_uint8
from genexp.metrics.samples import SampleMetric
from genexp.record.values import Value


class LabelAccuracy(SampleMetric):
    """The share of samples x ~ p(x | y), equally many of each y, to which a classifier gives the label y.

    Values, kind ``estimate``, of each label too, with binomial standard errors:

    - ``<split>/label_accuracy_<classifier>_<n>``: of the samples. It says nothing of their diversity: one image of each label
      would do (see Ravuri & Vinyals 2019 for a measure that it would not satisfy).
    - ``<split>/label_accuracy_<classifier>_real``: of the examples of the split, what real images reach.

    Args:
        extractor: whose logits are those of the labels.
        sampling: see :class:`genexp.metrics.samples.SampleMetric`; n is a multiple of the number of labels.
    """

    def __init__(self, *, extractor: Extractor, **sampling: Any) -> None:
        super().__init__(**sampling)
        extractor.check_labels()
        if self.n % extractor.num_labels:
            raise ValueError(f"n={self.n}: must be a multiple of {extractor.num_labels}, the number of labels")
        self.extractor = extractor

    def refusal(self, model: GenerativeModule, data: LightningDataModule) -> str | None:
        if not model.conditional:
            return "needs a class-conditional model: train with model.conditional=true"
        if data.num_classes != self.extractor.num_labels:
            return (
                f"extractor {self.extractor.name} tells {self.extractor.num_labels} labels apart, but num_classes is "
                f"{data.num_classes}"
            )
        return self.extractor.refusal(data) or super().refusal(model, data)

    def prepare(self) -> None:
        self.extractor.check()

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        asked = torch.arange(self.n) % data.num_classes
        drawn = to_uint8(self.draw(model, seed, "label accuracy", asked), data.levels).split(self.batch_size)
        own = torch.cat([y for _, y in data.loader(split, self.batch_size)])
        real = (to_uint8(x, data.levels) for x, _ in data.loader(split, self.batch_size))
        classifier = {"extractor": self.extractor.name, "extractor_sha256": self.extractor.sha256}

        def value(of: dict[str, Any], given: Tensor, y: Tensor, protocol: dict[str, Any]) -> Value:
            hits = given == y
            return Value(
                quantity="label_accuracy",
                split=split,
                settings={"extractor": self.extractor.name} | of,
                unit="",
                kind="estimate",
                direction="max",
                protocol=protocol | classifier,
                by_class={str(label): share(hits[y == label]) for label in y.unique().tolist()},
                **share(hits),
            )

        found, expected = (self.extractor.labels(images, model.device) for images in (drawn, real))
        return [
            value({"n": self.n}, found, asked, self.protocol(model, data, split)),
            value({"of": "real"}, expected, own, data.protocol(split)),
        ]
