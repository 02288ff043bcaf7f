import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from stand_ins import Tensors

from genexp.data import mnist5k
from genexp.metrics import extractors
from genexp.metrics.extractors import INCEPTION_SHA256, Inception, MnistCNN


def accuracy(x, y):
    _, logits = MnistCNN().build()(x)
    return (logits.argmax(1) == torch.as_tensor(y)).double().mean().item()


def test_the_digit_network_knows_digits_in_every_format():
    x, y = (part[::5] for part in mnist5k.digits())
    assert accuracy(x, y) > 0.99
    assert accuracy((x > 127).to(torch.uint8) * 255, y) > 0.985
    assert accuracy(torch.nn.functional.pad(x, (2, 2, 2, 2)), y) > 0.985
    digits = load_digits()
    small = torch.tensor(digits.images * 255 / 16).round().to(torch.uint8).unsqueeze(1)
    assert accuracy(small, digits.target) > 0.93


def test_the_digit_network_takes_sizes_and_channels():
    network = MnistCNN().build()
    for size in (8, 28, 64):
        x = torch.randint(256, (3, 1, size, size)).to(torch.uint8)
        features, logits = network(x)
        assert features.shape == (3, 64) and logits.shape == (3, 10)
        tiled, _ = network(x.expand(-1, 3, -1, -1))
        torch.testing.assert_close(tiled, features)
    assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_the_weights_are_small_and_hashed():
    weights = MnistCNN().weights()
    assert len(weights) < 400_000 and MnistCNN().sha256 == hashlib.sha256(weights).hexdigest()


def test_unfit_images_are_refused_with_a_reason():
    def images(*shape):
        return Tensors(test=torch.zeros(2, *shape, dtype=torch.uint8))

    assert MnistCNN().accepts(images(1, 28, 28)) is None
    assert "shape is (3, 32, 32)" in MnistCNN().accepts(images(3, 32, 32))
    assert "8x8 to 64x64" in MnistCNN().accepts(images(1, 7, 28))
    assert Inception(weights=None).accepts(images(3, 32, 32)) is None
    assert "1 or 3 channels" in Inception(weights=None).accepts(images(2, 32, 32))


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No Inception weights on this machine and no network."""

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.delenv("GENEXP_INCEPTION_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(extractors, "urlopen", offline)
    return tmp_path


def test_missing_inception_weights_say_what_where_and_what_to_do(nowhere):
    with pytest.raises(FileNotFoundError) as error:
        Inception(weights=None).check()
    message = str(error.value)
    hub = nowhere / "home/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth"
    for part in ("extractor.weights", "$GENEXP_INCEPTION_WEIGHTS", str(hub), "no network", "fetch https://"):
        assert part in message
    assert "\n" not in message


def test_a_named_file_must_exist(nowhere, monkeypatch):
    monkeypatch.setenv("GENEXP_INCEPTION_WEIGHTS", "/absent/by-variable")
    with pytest.raises(FileNotFoundError, match="not found at /absent/by-variable"):
        Inception(weights=None).check()
    with pytest.raises(FileNotFoundError, match="not found at /absent/by-argument"):
        Inception(weights="/absent/by-argument").check()


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_nothing_is_unpickled_from_a_file_with_another_hash(nowhere):
    path, trace = nowhere / "weights.pth", nowhere / "trace"
    path.write_bytes(pickle.dumps(Attack(trace)))
    for call in ("check", "build"):
        with pytest.raises(ValueError, match=INCEPTION_SHA256):
            getattr(Inception(weights=str(path)), call)()
    assert not trace.exists()
    torch.save(Attack(trace), path)  # even vouched for, a pickle that is more than tensors does not run
    with pytest.raises(pickle.UnpicklingError):
        Inception(weights=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()).build()
    assert not trace.exists()
    pickle.loads(pickle.dumps(Attack(trace)))
    assert trace.exists()  # the attack is real


def test_a_download_is_verified_and_kept(nowhere, monkeypatch):
    class Response:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def read(self):
            return b"tensors"

    monkeypatch.setattr(extractors, "urlopen", lambda url, timeout: Response())
    with pytest.raises(ValueError, match="https://"):
        Inception(weights=None).check()
    folder = nowhere / "home/hub/checkpoints"
    assert not folder.exists()
    Inception(weights=None, sha256=hashlib.sha256(b"tensors").hexdigest()).check()
    assert [path.read_bytes() for path in folder.iterdir()] == [b"tensors"]
