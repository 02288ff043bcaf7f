import hashlib
import io
import os

import numpy as np
import pytest
import scipy.linalg
import torch
import torch_fidelity
from safetensors.torch import save
from stand_ins import Replay, Tensors, Uniform
from torch_fidelity import registry
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from genexp.data import mnist5k
from genexp.metrics.extractors import Extractor, Inception, MnistCNN, to_uint8
from genexp.metrics.fidelity import Fidelity
from genexp.metrics.mnist_cnn import MnistNetwork


class Pixels(FeatureExtractorBase):
    """The first channel itself."""

    def forward(self, x):
        flat = x[:, 0].flatten(1).float()
        return flat, flat / 255

    @staticmethod
    def get_provided_features_list():
        return "pixels", "logits"


class Identity(Extractor):
    name = network_name = "identity"
    feature_layer, logits_layer = "pixels", "logits"

    def weights(self):
        return b""

    def build(self):
        return Pixels("identity", ["pixels", "logits"])

    def accepts(self, data):
        return None


def fidelity(cache_dir=None, **changes):
    arguments = dict(
        extractor=MnistCNN(),
        n=200,
        knobs={},
        reference="train",
        batch_size=64,
        kid_subset_size=50,
        kid_subsets=10,
        is_splits=5,
        prc_neighborhood=3,
        density_neighborhood=5,
        cache_dir=cache_dir,
    )
    return Fidelity(**arguments | changes)


def measure(metric, samples, data, split="test", levels=256):
    return {v.key.split("/")[1].split("_")[0]: v for v in metric.compute(Replay(samples, levels), data, split, 0)}


def noise(*shape, seed=0):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


@pytest.fixture(scope="module")
def digits():
    """1000 + 1000 real digits, 100 of each class in either half."""
    x = mnist5k.digits()[0].view(10, 500, 1, 28, 28)
    return x[:, :100].flatten(0, 1), x[:, 100:200].flatten(0, 1)


def test_fid_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    a = rng.normal(100, [[20, 10, 30, 5]], (500, 4)).round().clip(0, 255).astype(np.uint8)
    b = rng.normal([[110, 100, 90, 120]], 20, (400, 4)).round().clip(0, 255).astype(np.uint8)
    found, reference = (torch.from_numpy(v).view(-1, 1, 2, 2) for v in (a, b))
    metric = fidelity(extractor=Identity(), n=500, kid_subset_size=100)
    value = measure(metric, found, Tensors(train=reference))["fid"]
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    closed = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * scipy.linalg.sqrtm(s @ t).real)
    assert value.key == "test/fid_identity_500"
    assert value.value == pytest.approx(closed, rel=1e-4)


def test_parity_with_torch_fidelity_on_32x32_images(digits, monkeypatch):
    x, reference = (torch.nn.functional.pad(part[::5], (2, 2, 2, 2)) for part in digits)
    values = measure(fidelity(), x, Tensors(train=reference))

    class Digits(MnistNetwork):
        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)
            self.load_state_dict(MnistCNN().build().state_dict())

    monkeypatch.setitem(registry.FEATURE_EXTRACTORS_REGISTRY, "mnistcnn", Digits)
    expected = torch_fidelity.calculate_metrics(
        input1=Images(x),
        input2=Images(reference),
        feature_extractor="mnistcnn",
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        cuda=False,
        save_cpu_ram=True,
        cache=False,
        verbose=False,
        kid_subset_size=50,
        kid_subsets=10,
        isc_splits=5,
    )
    names = {
        "fid": "frechet_inception_distance",
        "is": "inception_score_mean",
        "kid": "kernel_inception_distance_mean",
        "precision": "precision",
        "recall": "recall",
    }
    for name, theirs in names.items():
        assert values[name].value == pytest.approx(expected[theirs], rel=1e-4, abs=1e-6), name
    assert values["is"].stderr == pytest.approx(expected["inception_score_std"] / 5**0.5, rel=1e-4)


class Images(torch.utils.data.Dataset):
    """Grey images tiled to three channels, one by one, as torch-fidelity wants them."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i].expand(3, -1, -1)


def test_real_digits_are_far_better_than_noise(digits):
    data = Tensors(train=digits[1])
    metric = fidelity(n=1000, kid_subset_size=200)
    real = measure(metric, digits[0], data)
    bad = measure(metric, noise(1000, 1, 28, 28), data)
    assert real["fid"].value < bad["fid"].value / 20
    assert real["is"].value > 9 > bad["is"].value
    assert abs(real["kid"].value) < bad["kid"].value / 20
    assert min(real["precision"].value, real["recall"].value) > 0.8
    assert max(bad["precision"].value, bad["recall"].value) < 0.05
    assert 0.75 < real["density"].value < 1.1 and real["coverage"].value > 0.85
    assert max(bad["density"].value, bad["coverage"].value) < 0.05


def test_the_record_says_how_it_was_measured(digits):
    values = measure(fidelity(), digits[0], Tensors(train=digits[1]), split="validation")
    fid = values["fid"]
    assert fid.key == "validation/fid_mnistcnn_200" and fid.kind == "estimate" and fid.n == 200
    assert fid.protocol == {
        "data": "toy",
        "split": "train",
        "extractor": "mnistcnn",
        "extractor_sha256": MnistCNN().sha256,
        "samples": 200,
        "samples_from": "model",
        "reference": "train",
        "reference_n": 1000,
        "conditional": False,
    }
    assert {name: v.direction for name, v in values.items()} == {
        "fid": "min",
        "is": "max",
        "kid": "min",
        "precision": "max",
        "recall": "max",
        "density": "max",
        "coverage": "max",
    }
    assert values["recall"].protocol["prc_reference_n"] == 200 and values["is"].protocol["is_splits"] == 5
    neighbourhood = {"density_neighborhood": 5, "density_reference_n": 200}
    assert values["density"].protocol == values["coverage"].protocol == fid.protocol | neighbourhood


def test_the_reference_can_be_the_split_under_evaluation(digits):
    data = Tensors(train=digits[0][::5], test=digits[1][::5])
    value = measure(fidelity(reference=None), digits[0], data)["fid"]
    assert value.protocol["reference"] == "test"
    assert value.value == measure(fidelity(reference="test"), digits[0], data)["fid"].value


def test_the_cache_changes_nothing_and_cannot_be_stale(digits, tmp_path):
    metric, x = fidelity(tmp_path / "cache"), digits[0][::5]
    metric.prepare()
    one, other = Tensors(train=digits[1][::5]), Tensors(train=255 - digits[1][::5])
    first = measure(metric, x, one)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert measure(metric, x, one) == first == measure(fidelity(), x, one)
    assert measure(metric, x, other)["fid"].value > 2 * first["fid"].value
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(("levels", "top"), [(2, 1), (17, 16), (256, 255)])
def test_levels_are_stretched_over_a_byte(levels, top):
    x = torch.tensor([0, 1, top], dtype=torch.uint8)
    assert to_uint8(x, levels).tolist() == [0, round(255 / top), 255]


def test_binary_samples_are_measured_as_black_and_white(digits):
    binary = [(part[::5] > 127).to(torch.uint8) for part in digits]
    bits = measure(fidelity(), binary[0], Tensors(2, train=binary[1]), levels=2)
    bytes_ = measure(fidelity(), binary[0] * 255, Tensors(256, train=binary[1] * 255))
    assert bits["fid"].value == bytes_["fid"].value


def test_samples_are_keyed_and_disturb_nothing():
    data, metric = Tensors(train=noise(60, 1, 8, 8)), fidelity(n=70, batch_size=32)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = metric.compute(Uniform(data.shape), data, "test", 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert metric.compute(Uniform(data.shape), data, "test", 0) == first
    assert metric.compute(Uniform(data.shape), data, "test", 1)[0].value != first[0].value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kid_subset_size": 201}, "kid_subset_size=201: must be at most n=200"),
        ({"prc_neighborhood": 200}, "prc_neighborhood=200: must be below n=200"),
        ({"density_neighborhood": 200}, "density_neighborhood=200: must be below n=200"),
        ({"is_splits": 201}, "is_splits=201: must be at most n=200"),
        ({"n": 0}, "n=0: must be at least 1"),
    ],
)
def test_too_small_numbers_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        fidelity(**changes)


class Dark(Uniform):
    """Noise from 0 to the knob."""

    def draw(self, n, y, *, top=255):
        return (torch.rand(n, *self.shape) * top).to(torch.uint8)


def test_knobs_reach_the_sampler_and_the_protocol_and_unknown_ones_are_refused():
    data, model = Tensors(train=noise(99, 1, 8, 8)), Dark((1, 8, 8))
    plain, dark = (fidelity(knobs=knobs).compute(model, data, "test", 0)[0] for knobs in ({}, {"top": 3}))
    assert dark.protocol == plain.protocol | {"knobs": "top=3"} and dark.key == plain.key
    assert dark.value > 2 * plain.value
    assert fidelity(knobs={"top": 3}).refusal(model, data) is None
    assert "knobs.tip=3: the sampler of Dark has the knobs top" in fidelity(knobs={"tip": 3}).refusal(model, data)


def test_unfit_data_are_refused_with_a_reason():
    def refusal(data, levels=256):
        return fidelity().refusal(Uniform(data.shape, levels), data)

    assert refusal(Tensors(train=noise(99, 1, 8, 8))) is None
    assert "shape is (5,)" in refusal(Tensors(train=noise(99, 5)))
    assert "levels is None" in refusal(Tensors(None, train=torch.rand(99, 1, 8, 8)), None)
    assert "mnistcnn" in refusal(Tensors(train=noise(99, 3, 8, 8)))
    assert "kid_subset_size=50: must be at most the 20 examples" in refusal(Tensors(train=noise(20, 1, 8, 8)))
    small = Tensors(test=noise(20, 1, 8, 8))
    with pytest.raises(ValueError, match="20 examples of reference=test"):
        fidelity(reference=None).compute(Uniform(small.shape), small, "test", 0)


def test_inception_from_a_weights_file_of_the_right_form(monkeypatch, tmp_path):
    torch.manual_seed(0)
    state = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        empty = io.BytesIO()
        torch.save({}, empty)
        empty.seek(0)
        network = FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path=empty)
    for parameter in network.parameters():
        if parameter.ndim > 1:  # the default initialisation loses the signal: all images get the same features
            torch.nn.init.kaiming_normal_(parameter)
    torch.save(network.state_dict(), state)
    path = tmp_path / "weights.pth"
    path.write_bytes(state.getvalue())
    monkeypatch.setenv("GENEXP_INCEPTION_WEIGHTS", os.fspath(path))
    extractor = Inception(weights=None, sha256=hashlib.sha256(state.getvalue()).hexdigest())
    metric = fidelity(extractor=extractor, n=6, kid_subset_size=4, kid_subsets=2, is_splits=2, density_neighborhood=3)
    metric.prepare()
    values = metric.compute(Uniform((1, 8, 8)), Tensors(train=noise(5, 1, 8, 8)), "test", 0)
    names = ("fid", "is", "kid", "precision", "recall", "density", "coverage")
    assert [v.key for v in values] == [f"test/{name}_inception_6" for name in names]
    assert all(np.isfinite(v.value) for v in values)
    assert values[0].value > 1e-3 and values[1].value > 1.00001
    assert values[0].protocol["extractor_sha256"] == extractor.sha256


def test_a_damaged_cache_is_made_anew(tmp_path, digits):
    reference, found = digits[0][::20], digits[1][::20]
    metric = fidelity(tmp_path, n=50, kid_subset_size=10)
    right = measure(metric, found, Tensors(train=reference))["fid"].value
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    other = save({"features": torch.zeros(50, 64), "logits": torch.zeros(49, 10)})
    for content in (b"", b"garbage", whole[:middle], flipped, other, save({}), whole + b"x"):
        path.write_bytes(content)
        assert measure(metric, found, Tensors(train=reference))["fid"].value == right
        assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    path.mkdir()
    assert measure(metric, found, Tensors(train=reference))["fid"].value == right
    for folder in ("/dev/null/x", "~nobody/x"):
        assert (
            measure(fidelity(folder, n=50, kid_subset_size=10), found, Tensors(train=reference))["fid"].value == right
        )
