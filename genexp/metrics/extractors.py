"""Feature extractors for fidelity metrics: which network, where its weights are, how they are verified."""

import hashlib
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

import torch
from pytorch_lightning import LightningDataModule
from safetensors.torch import load
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from genexp.metrics.mnist_cnn import DIGITS, MnistNetwork
from genexp.probability.quantize import unit
from genexp.probability.randomness import keyed_draws

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_VARIABLE = "GENEXP_INCEPTION_WEIGHTS"


class Extractor(ABC):
    """A network in torch-fidelity's interface together with its weights."""

    name: ClassVar[str]
    """As in metric keys, e.g. ``fid_inception_10k``."""
    network_name: ClassVar[str]
    """torch-fidelity's name for the network."""
    feature_layer: ClassVar[str]
    """The layer that FID, KID, precision and recall compare."""
    logits_layer: ClassVar[str]
    """The layer whose softmax the Inception score uses."""
    num_labels: ClassVar[int | None] = None
    """Number of logits, where they stand for the labels of data sets, in their order; None where they do not."""

    @abstractmethod
    def weights(self) -> bytes:
        """The weights file, verified.

        Raises:
            FileNotFoundError: it is not there: what, where it was looked for, what to do.
            ValueError: it is there and is not the expected file.
        """

    @abstractmethod
    def build(self) -> FeatureExtractorBase:
        """The network in evaluation mode on the CPU: uint8 images ``(B, 3, H, W)`` in [0, 255] to a tuple of
        :attr:`feature_layer` ``(B, F)`` and :attr:`logits_layer` ``(B, K)``."""

    @abstractmethod
    def accepts(self, data: LightningDataModule) -> str | None:
        """Why the network does not suit these images; None if it does. ``data.shape`` is ``(C, H, W)``."""

    def refusal(self, data: LightningDataModule) -> str | None:
        """Why these data are no images, or none that suit the network; None if they are."""
        if len(data.shape) != 3 or data.levels is None:
            shape = tuple(data.shape)
            return f"needs images of discrete levels, but shape is {shape} and levels is {data.levels}"
        return self.accepts(data)

    def on(self, device: torch.device) -> FeatureExtractorBase:
        """:meth:`build`, on a device; no generator of random numbers is disturbed."""
        with keyed_draws(device, 0, "extractor"):  # construction initialises weights, and so draws
            return self.build().to(device)

    @torch.no_grad()
    def features(
        self, network: FeatureExtractorBase, images: Iterable[Tensor], device: torch.device
    ) -> dict[str, Tensor]:
        """Layers by name, each ``(N, F)`` on the CPU, of batches of uint8 images ``(B, C, H, W)``; grey is tiled."""
        batches = [[part.cpu() for part in network(x.to(device).expand(-1, 3, -1, -1))] for x in images]
        layers = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return dict(zip(network.features_list, layers, strict=True))

    def check_labels(self) -> None:
        """Raise ``ValueError`` unless the logits stand for labels."""
        if self.num_labels is None:
            raise ValueError(f"extractor={self.name}: its logits are not those of the labels of a data set")

    def labels(self, images: Iterable[Tensor], device: torch.device) -> Tensor:
        """The label ``(N,)`` with the largest logit for each of batches of uint8 images ``(B, C, H, W)``."""
        return self.features(self.on(device), images, device)[self.logits_layer].argmax(1)

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights file, in hexadecimal: features with different hashes are never compared."""
        return hashlib.sha256(self.weights()).hexdigest()

    def check(self) -> None:
        """Make sure that the weights are there; raises as :meth:`weights` does."""
        self.weights()


class MnistCNN(Extractor):
    """The digit classifier that comes with genexp: 64 features, no download, for grey images of digits.

    Trained by ``scripts/train_extractor`` on MNIST at many quantisations and through 8x8, and to keep noise
    apart from digits. Its numbers compare only with numbers from the same weights, never with Inception's.
    """

    name = "mnistcnn"
    network_name = "mnistcnn"
    feature_layer = "features"
    logits_layer = "logits"
    num_labels = DIGITS

    def weights(self) -> bytes:
        return (Path(__file__).parent / "weights" / "mnist_cnn.safetensors").read_bytes()

    def build(self) -> FeatureExtractorBase:
        network = MnistNetwork(self.network_name, [self.feature_layer, self.logits_layer])
        network.load_state_dict(load(self.weights()))
        return network.requires_grad_(False).eval()

    def accepts(self, data: LightningDataModule) -> str | None:
        channels, height, width = data.shape
        if channels != 1 or not (8 <= height <= 64 and 8 <= width <= 64):
            return f"extractor mnistcnn needs grey images of 8x8 to 64x64, but shape is {tuple(data.shape)}"
        return None


class Inception(Extractor):
    """Inception-v3 of 2015-12-05, the network behind published FID, IS and KID (Heusel et al., 2017), as
    converted by torch-fidelity (``inception-v3-compat``: 2048 features, TensorFlow's bilinear resize to 299).

    The weights are the file ``weights``, else ``$GENEXP_INCEPTION_WEIGHTS``, else the one in torch's hub
    folder, which is downloaded when absent; a file that is named must exist. The hash is compared before
    anything is opened, and nothing but tensors is unpickled.

    Args:
        weights: path of the weights file; None to look in the other places.
        sha256: SHA-256 that the file must have, in hexadecimal.
    """

    name = "inception"
    network_name = "inception-v3-compat"
    feature_layer = "2048"
    logits_layer = "logits_unbiased"

    def __init__(self, *, weights: str | None, sha256: str = INCEPTION_SHA256) -> None:
        self.path = weights
        self.expected = sha256

    @property
    def sha256(self) -> str:
        return self.expected

    def weights(self) -> bytes:
        variable = os.environ.get(INCEPTION_VARIABLE)
        hub = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
        named = self.path or variable
        path = Path(named).expanduser() if named else hub
        reason = ""
        if path.is_file():
            return self._verified(path.read_bytes(), str(path))
        if not named:
            try:
                return self._download(path)
            except (OSError, HTTPException) as error:
                reason = f", download failed ({error})"
        raise FileNotFoundError(
            f"Inception weights not found at {path}{reason}: fetch {URL_INCEPTION_V3} and name the file in "
            f"${INCEPTION_VARIABLE} or extractor.weights (now {variable} and {self.path})"
        )

    def build(self) -> FeatureExtractorBase:
        state = torch.load(io.BytesIO(self.weights()), map_location="cpu", weights_only=True)
        tensors = io.BytesIO()  # torch-fidelity unpickles what it is given, so it gets these and not the file
        torch.save(state, tensors)
        tensors.seek(0)
        layers = [self.feature_layer, self.logits_layer]
        return FeatureExtractorInceptionV3(self.network_name, layers, feature_extractor_weights_path=tensors)

    def accepts(self, data: LightningDataModule) -> str | None:
        if data.shape[0] not in (1, 3):
            return f"extractor inception needs images of 1 or 3 channels, but shape is {tuple(data.shape)}"
        return None

    def _verified(self, content: bytes, source: str) -> bytes:
        found = hashlib.sha256(content).hexdigest()
        if found != self.expected:
            raise ValueError(f"weights {source}: SHA-256 is {found}, must be {self.expected}; it was not loaded")
        return content

    def _download(self, path: Path) -> bytes:
        with urlopen(URL_INCEPTION_V3, timeout=20) as response:
            content = self._verified(response.read(), URL_INCEPTION_V3)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(path)
        return content


def to_uint8(x: Tensor, levels: int) -> Tensor:
    """Levels stretched over a byte: ``round(255 x / (levels - 1))``.

    Args:
        x: ``(B, C, H, W)`` integers in ``[0, levels)``.
        levels: number of levels, at least 2.

    Returns:
        uint8 tensor of the same shape, in [0, 255].
    """
    return (unit(x, levels) * 255).round().to(torch.uint8)
