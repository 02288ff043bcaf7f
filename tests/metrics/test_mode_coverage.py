"""Modes of mixtures and of stacked digits, with samples whose modes are known."""

import math

import pytest
import torch
from stand_ins import Replay, Tensors, Uniform

from genexp.data import mnist5k
from genexp.metrics.extractors import Inception, MnistCNN
from genexp.metrics.mode_coverage import ModeCoverage, StackedModeCoverage, reverse_kl
from genexp.probability.randomness import generator


class Line:
    """Modes at 0, 10 and 20, of which the first has half of the weight; standard deviation 2."""

    probabilities = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)

    def nearest_mode(self, x):
        distance, mode = (x - torch.tensor([0.0, 10.0, 20.0])).abs().min(1)
        return mode, distance / 2


def measured(x, **changes):
    data = Tensors(None, test=x)
    data.modes = Line()
    metric = ModeCoverage(**dict(n=len(x), knobs={}, batch_size=3, radius=2.0) | changes)
    assert metric.refusal(Replay(x, None), data) is None
    return {value.key: value for value in metric.compute(Replay(x, None), data, "test", 0)}


def test_modes_high_quality_and_kl_by_hand():
    found = measured(torch.tensor([[0.1], [-3.9], [5.2], [10.0], [14.5], [-50.0], [9.0]]))
    assert list(found) == ["test/modes_7", "test/high_quality_7", "test/mode_reverse_kl_nats_7"]
    modes, good, kl = found.values()
    assert modes.value == 2 and good.value == 4 / 7  # 5.2, 14.5 and -50 are too far from their modes
    assert good.stderr == pytest.approx((4 / 7 * 3 / 7 / 6) ** 0.5)
    assert kl.value == pytest.approx(3 / 7 * math.log(3 / 7 / 0.5) + 4 / 7 * math.log(4 / 7 / 0.25))
    assert [v.direction for v in found.values()] == ["max", "max", "min"] and kl.unit == "nats"
    assert {v.kind for v in found.values()} == {"estimate"} and {v.n for v in found.values()} == {7}
    assert (
        modes.protocol
        == kl.protocol
        == {
            "data": "toy",
            "split": "test",
            "samples": 7,
            "samples_from": "model",
            "conditional": False,
            "num_modes": 3,
            "radius_sigmas": 2.0,
        }
    )


def test_a_mode_without_good_samples_is_not_found_and_nothing_is_no_number():
    modes, good, kl = measured(torch.tensor([[6.0], [math.nan], [math.inf], [14.5]])).values()
    assert modes.value == 0 and good.value == 0 and good.stderr is None and math.isfinite(kl.value)
    assert measured(torch.tensor([[6.0], [6.0]]), radius=2.1)["test/modes_2"].value == 1
    assert measured(torch.zeros(2, 1))["test/high_quality_2"].stderr is None


def test_the_divergence_of_known_distributions():
    uniform = torch.full((4,), 0.25)
    assert reverse_kl(torch.arange(4), uniform) == 0
    assert reverse_kl(torch.zeros(9, dtype=torch.int64), uniform) == pytest.approx(math.log(4))
    assert reverse_kl(torch.tensor([0, 0, 0, 1]), torch.tensor([0.75, 0.25])) == pytest.approx(0, abs=1e-12)


def test_the_divergence_of_samples_of_the_true_distribution():
    draws = generator(0, "multinomial")
    uniform = torch.full((1000,), 0.001, dtype=torch.float64)
    found = torch.tensor([reverse_kl(torch.randint(1000, (26_000,), generator=draws), uniform) for _ in range(20)])
    assert abs(found.mean() - 999 / 52_000) < 0.001


def stacked(**changes):
    return StackedModeCoverage(**dict(extractor=MnistCNN(), n=300, knobs={}, batch_size=100) | changes)


def digits_of(labels, seed=0):
    """Grey digits ``(N, C, 28, 28)`` with these labels ``(N, C)``, well written."""
    x = mnist5k.digits()[0].view(10, 500, 28, 28)
    known = MnistCNN().labels([x.view(-1, 1, 28, 28)], torch.device("cpu")).view(10, 500)
    pool = [x[label][known[label] == label] for label in range(10)]
    picks = torch.randint(400, labels.shape, generator=generator(seed, "pick"))
    chosen = [pool[label][i] for label, i in zip(labels.flatten().tolist(), picks.flatten().tolist(), strict=True)]
    return torch.stack(chosen).view(*labels.shape, 28, 28)


def test_the_modes_of_stacked_digits_are_the_combinations_of_their_labels():
    labels = torch.randint(10, (300, 3), generator=generator(0, "labels"))
    labels[:100] = torch.tensor([1, 2, 3])
    labels[100:150] = torch.tensor([3, 2, 1])
    x = digits_of(labels)
    data = Tensors(256, test=x)
    data.stacked_digits = True
    assert stacked().refusal(Replay(x), data) is None
    modes, kl = stacked().compute(Replay(x), data, "test", 0)
    assert modes.key == "test/modes_mnistcnn_300" and kl.key == "test/mode_reverse_kl_nats_mnistcnn_300"
    combined = labels @ torch.tensor([100, 10, 1])
    assert modes.value == len(combined.unique())
    assert kl.value == pytest.approx(reverse_kl(combined, torch.full((1000,), 0.001)), abs=1e-6)
    assert modes.protocol["num_modes"] == 1000 and modes.protocol["extractor_sha256"] == MnistCNN().sha256
    grey, coloured = (
        stacked(n=50).compute(Replay(part), data, "test", 0)[0].value for part in (x[100:150], x[150:200])
    )
    assert grey == 1 and coloured > 40

    binary = (x > 127).to(torch.uint8)
    bits = Tensors(2, test=binary)
    bits.stacked_digits = True
    assert stacked().compute(Replay(binary, 2), bits, "test", 0)[0].value == pytest.approx(modes.value, abs=5)


def test_what_has_no_known_modes_is_refused():
    data = Tensors(256, test=torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    model = Uniform(data.shape)
    modes = ModeCoverage(n=4, knobs={}, batch_size=4, radius=3.0)
    assert modes.refusal(model, data) == "needs data whose modes are known and lie apart, and toy has none"
    assert "a digit in every channel" in stacked().refusal(model, data)
    data.modes, data.stacked_digits = Line(), True
    assert modes.refusal(model, data) is None and stacked().refusal(model, data) is None


def test_wrong_arguments_are_named():
    for changes, message in (({"radius": 0.0}, "radius=0.0: must be positive"), ({"n": 0}, "n=0: must be at least 1")):
        with pytest.raises(ValueError, match=message):
            ModeCoverage(**dict(n=4, knobs={}, batch_size=4, radius=3.0) | changes)
    with pytest.raises(ValueError, match="batch_size=0"):
        stacked(batch_size=0)
    with pytest.raises(ValueError, match="extractor=inception: its logits are not those of the labels"):
        stacked(extractor=Inception(weights=None))
