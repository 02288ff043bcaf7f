import pytest
import torch
from stand_ins import Conditional, Tensors, Uniform

from genexp.data import mnist5k
from genexp.metrics.extractors import Inception, MnistCNN
from genexp.metrics.label_accuracy import LabelAccuracy


@pytest.fixture(scope="module")
def digits():
    """200 grey digits that the classifier knows, 20 of each label, in order."""
    x = mnist5k.digits()[0].view(10, 500, 1, 28, 28)
    known = MnistCNN().labels(x.flatten(0, 1).split(500), torch.device("cpu")).view(10, 500)
    x = torch.cat([x[label][known[label] == label][:20] for label in range(10)])
    return x, torch.arange(10).repeat_interleave(20)


def accuracy(**changes):
    return LabelAccuracy(**dict(extractor=MnistCNN(), n=100, knobs={}, batch_size=30) | changes)


def test_right_labels_and_labels_that_are_wrong_for_one_class_in_two_ways(digits):
    x, y = digits
    data = Tensors(256, 10, train=digits, test=(x, torch.where(y == 4, 5, y)))
    found, real = accuracy().compute(Conditional(x, y, 10), data, "test", 0)
    assert found.key == "test/label_accuracy_mnistcnn_100" and real.key == "test/label_accuracy_mnistcnn_real"
    assert found.value == 1 and found.stderr is None and found.n == 100
    assert found.by_class == {str(label): {"value": 1, "stderr": None, "n": 10} for label in range(10)}
    assert real.value == pytest.approx(0.9) and real.n == 200
    assert real.stderr == pytest.approx((0.9 * 0.1 / 199) ** 0.5)
    assert real.by_class["5"]["value"] == 0.5 and real.by_class["5"]["n"] == 40 and "4" not in real.by_class
    assert found.protocol == real.protocol | {"samples": 100, "samples_from": "model", "conditional": True}
    assert real.protocol["extractor_sha256"] == MnistCNN().sha256

    confused = torch.where(y == 3, 8, torch.where(y == 8, 3, y))
    found, _ = accuracy().compute(Conditional(x, confused, 10), data, "test", 0)
    assert found.value == pytest.approx(0.8) and found.kind == "estimate" and found.direction == "max"
    assert [label for label, part in found.by_class.items() if part["value"] == 0] == ["3", "8"]


def test_a_model_that_ignores_the_label_is_right_by_chance(digits):
    x, y = digits
    jumbled = y[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    found, _ = accuracy(n=200).compute(Conditional(x, jumbled, 10), Tensors(256, 10, test=digits), "test", 0)
    assert abs(found.value - 0.1) < 4 * found.stderr


def test_what_does_not_fit_is_refused(digits):
    x, _ = digits

    def refusal(x, num_classes, conditional=True, levels=256):
        data = Tensors(levels, num_classes, test=x)
        return accuracy().refusal(Uniform(data.shape, levels, num_classes, conditional), data)

    assert refusal(x, 10) is None
    assert refusal(x, 10, conditional=False) == "needs a class-conditional model: train with model.conditional=true"
    assert refusal(x, 60) == "extractor mnistcnn tells 10 labels apart, but num_classes is 60"
    assert "grey images" in refusal(x.expand(-1, 3, -1, -1), 10)
    assert "needs images of discrete levels" in refusal(x.flatten(1), 10)
    with pytest.raises(ValueError, match="n=101: must be a multiple of 10, the number of labels"):
        accuracy(n=101)
    with pytest.raises(ValueError, match="extractor=inception: its logits"):
        accuracy(extractor=Inception(weights=None))
