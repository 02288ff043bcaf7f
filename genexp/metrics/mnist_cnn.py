"""A small digit classifier whose features stand in for Inception's on grey images.

28 -> [conv 16] -> 14 -> [conv 32, conv 64] -> 7 -> [conv 64] -> 3 -> 64 features -> 10 logits
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

SIZE = 28
DIGITS = 10


class MnistNetwork(FeatureExtractorBase):
    """98k parameters in torch-fidelity's interface; the layers are ``features`` and ``logits``.

    Args:
        name: torch-fidelity's name of the extractor.
        features_list: the layers that :meth:`forward` returns, in this order.
        kwargs: torch-fidelity's options, none of which concerns this network.
    """

    def __init__(self, name: str, features_list: Sequence[str], **kwargs: object) -> None:
        super().__init__(name, list(features_list))
        self.body = nn.Sequential(
            *_convolution(1, 16),
            nn.MaxPool2d(2),
            *_convolution(16, 32),
            *_convolution(32, 64),
            nn.MaxPool2d(2),
            *_convolution(64, 64),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 3 * 3, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, DIGITS + 1)  # the last is "no digit": it shapes the features, no more

    def features(self, v: Tensor) -> Tensor:
        """Penultimate layer ``(B, 64)``, non-negative, of reals ``(B, 1, H, W)`` in [0, 1], any size."""
        if v.shape[-2:] != (SIZE, SIZE):
            v = F.interpolate(v, size=(SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        return self.body(v)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The requested layers of uint8 images ``(B, C, H, W)`` in [0, 255]; channels are averaged."""
        features = self.features(x.float().mean(dim=1, keepdim=True) / 255)
        layers = {"features": features, "logits": self.head(features)[:, :DIGITS]}
        return tuple(layers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "features", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
