"""Floors: proper codes of whole sequences, and known answers on synthetic data."""

import math

import numpy as np
import pytest
import torch
from stand_ins import Tensors, Uniform

from genexp.metrics.sequence_floors import Floors
from genexp.metrics.sequence_models import LinearPrediction, MarkovChains
from genexp.probability.quantize import mu_law_codes, mu_law_waveform

STRENGTHS = [0.1, 1.0, 10.0, 100.0]


def markov_sequences(n, steps, transition, seed):
    """Of the chain with the matrix ``transition``, from its stationary distribution: uint8 ``(n, steps)``."""
    draws = torch.Generator().manual_seed(seed)
    start = stationary(transition)
    x = torch.multinomial(start.expand(n, -1), 1, generator=draws)
    columns = [x]
    for _ in range(steps - 1):
        columns.append(torch.multinomial(transition[columns[-1][:, 0]], 1, generator=draws))
    return torch.cat(columns, dim=1).to(torch.uint8)


def stationary(transition):
    p = torch.full((len(transition),), 1 / len(transition), dtype=torch.float64)
    for _ in range(1000):
        p = p @ transition
    return p


TRANSITION = torch.tensor(
    [[0.85, 0.05, 0.05, 0.05], [0.1, 0.6, 0.2, 0.1], [0.05, 0.05, 0.1, 0.8], [0.4, 0.2, 0.2, 0.2]], dtype=torch.float64
)


def speech_like(n, steps, seed, levels=256):
    """A waveform with resonance whose loudness changes: mu-law codes."""
    draws = np.random.default_rng(seed)
    v = np.zeros((n, steps + 2))
    for t in range(2, steps + 2):
        loudness = 0.002 if (t // 50) % 2 else 0.05
        v[:, t] = 1.6 * v[:, t - 1] - 0.8 * v[:, t - 2] + loudness * draws.laplace(size=n)
    return mu_law_codes(torch.from_numpy(v[:, 2:]).clamp(-1, 1), levels)


def sequences(train, validation, test, levels, sample_rate=None):
    data = Tensors(levels=levels, train=train, validation=validation, test=test)
    data.sample_rate = sample_rate
    return data


@pytest.fixture
def floors():
    def measure(data, split="test"):
        metric = Floors(strengths=STRENGTHS, linear_order=4, decays=[0.5, 0.9], escape=1e-3)
        model = Uniform(data.shape, data.levels)
        assert metric.refusal(model, data) is None
        return {value.key: value for value in metric.compute(model, data, split, 0)}

    return measure


def test_markov_floors_find_the_entropy_rate(floors):
    parts = [markov_sequences(n, 200, TRANSITION, seed) for n, seed in ((400, 0), (50, 1), (300, 2))]
    values = floors(sequences(*parts, levels=4))
    p = stationary(TRANSITION)
    conditional = -(TRANSITION * TRANSITION.log2()).sum(1)
    rate = (p @ conditional).item()
    whole = (-(p * p.log2()).sum().item() + 199 * rate) / 200
    assert set(values) == {f"test/floor_{name}_bpd" for name in ("uniform", "unigram", "markov1", "markov2")}
    uniform, unigram, first, second = (
        values[f"test/floor_{n}_bpd"] for n in ("uniform", "unigram", "markov1", "markov2")
    )
    assert uniform.value == pytest.approx(2) and uniform.stderr == pytest.approx(0, abs=1e-12)
    assert unigram.value == pytest.approx(-(p * p.log2()).sum().item(), abs=4 * unigram.stderr)
    for value in (first, second):
        assert value.value == pytest.approx(whole, abs=4 * value.stderr)
        assert value.stderr < 0.01 < unigram.value - value.value
        assert (value.kind, value.unit, value.direction, value.n) == ("exact", "bits/dim", "min", 300)
    assert first.protocol["fitted_on"] == "train, 400 sequences" and len(second.protocol["smoothing"].split(", ")) == 3


def test_the_second_order_sees_what_the_first_cannot(floors):
    def exclusive_or(n, seed):
        x = torch.randint(2, (n, 60), generator=torch.Generator().manual_seed(seed))
        for t in range(2, 60):
            x[:, t] = x[:, t - 1] ^ x[:, t - 2]
        return x.to(torch.uint8)

    values = floors(sequences(exclusive_or(300, 0), exclusive_or(50, 1), exclusive_or(100, 2), levels=2))
    assert values["test/floor_markov1_bpd"].value > 0.9
    assert values["test/floor_markov2_bpd"].value == pytest.approx(2 / 60, abs=0.01)


def test_smoothing_is_chosen_on_the_validation_split(floors):
    train = markov_sequences(2, 30, TRANSITION, 0)  # too few for 64 contexts
    x = markov_sequences(100, 30, TRANSITION, 1)
    chains = MarkovChains(train, x, 4, 2, STRENGTHS)
    for m in range(3):
        scores = []
        for strength in STRENGTHS:
            other = MarkovChains(train, x, 4, 2, STRENGTHS)
            other.strengths[m] = strength
            scores.append(other.log_prob(x, m).sum().item())
        assert chains.strengths[m] == STRENGTHS[int(np.argmax(scores))]
    assert chains.strengths[2] > 1
    more = floors(sequences(train, x, x, levels=4))
    assert more["test/floor_markov2_bpd"].value < 2.1  # though most contexts were never seen


def linear(decay):
    return lambda train, levels: LinearPrediction(train, levels, 2, decay, 1e-3)


@pytest.mark.parametrize(
    "fit",
    [
        *(lambda x, levels, m=m: MarkovChains(x, x, levels, m, STRENGTHS) for m in range(3)),
        linear(None),
        linear(0.5),
    ],
)
@pytest.mark.parametrize("levels, steps", [(3, 5), (5, 3), (2, 1), (4, 2)])
def test_probabilities_of_all_sequences_sum_to_one(all_examples, fit, levels, steps):
    train = torch.randint(levels, (30, steps), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    log_p = fit(train, levels).log_prob(all_examples((steps,), levels))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_p.exp().std() > 0 or steps == 1


@pytest.mark.parametrize("decay", [None, 0.9])
def test_each_conditional_of_linear_prediction_sums_to_one(decay):
    model = LinearPrediction(speech_like(20, 300, 0), 256, 4, decay, 1e-3)
    assert len(model.borders) == 257 and torch.equal(model.borders.sort().values, model.borders)
    means, number = model._predict(speech_like(1, 40, 1))
    every = torch.arange(256)[:, None].expand(-1, 40)
    for shift in (0.0, 0.5, -3.0):
        log_p = model._log_mass(every, means.expand(256, -1) + shift, model.scales[number].expand(256, -1))
        assert torch.allclose(log_p.exp().sum(0), torch.ones(40, dtype=torch.float64), atol=1e-12)
        assert log_p.min() >= math.log(1e-3 / 256)


def test_linear_prediction_finds_the_coefficients_and_the_scale():
    steps, scale = 400, 0.02
    draws = np.random.default_rng(0)
    v = np.zeros((200, steps + 2))
    for t in range(2, steps + 2):
        v[:, t] = 1.2 * v[:, t - 1] - 0.5 * v[:, t - 2] + scale * draws.laplace(size=200)
    codes = mu_law_codes(torch.from_numpy(v[:, 2:]), 256)
    model = LinearPrediction(codes, 256, 2, None, 1e-3)
    assert model.coefficients.tolist() == pytest.approx([-0.5, 1.2, 0.0], abs=0.02)
    assert model.scales[0].item() == pytest.approx(scale, rel=0.15)


def test_floors_of_sound_are_in_order(floors):
    parts = [speech_like(n, 400, seed) for n, seed in ((60, 0), (10, 1), (40, 2))]
    values = {key: value.value for key, value in floors(sequences(*parts, levels=256, sample_rate=8000)).items()}
    linear, adaptive = values["test/floor_linear_bpd"], values["test/floor_linear_adaptive_bpd"]
    assert adaptive < linear < values["test/floor_unigram_bpd"] < values["test/floor_uniform_bpd"] == 8.0
    # an impossible score would be less than the entropy of the noise, whose bins are at least as wide as the widest
    waveform = mu_law_waveform(torch.arange(256), 256).double()
    widest = waveform.diff().max().item()
    assert adaptive > sum(math.log2(2 * math.e * b / widest) for b in (0.002, 0.05)) / 2


def test_what_floors_cannot_measure_is_refused():
    metric = Floors(strengths=STRENGTHS, linear_order=4, decays=[0.5], escape=1e-3)
    images = sequences(*[torch.zeros(2, 1, 4, 4, dtype=torch.uint8)] * 3, levels=2)
    assert "data.shape=[1, 4, 4]" in metric.refusal(Uniform((1, 4, 4), 2), images)
    reals = sequences(*[torch.zeros(2, 4)] * 3, levels=None)
    assert "needs sequences of codes" in metric.refusal(Uniform((4,), None), reals)
    for wrong, message in (
        ({"strengths": []}, r"strengths=\[\]"),
        ({"strengths": [0.0, 1.0]}, "each positive"),
        ({"linear_order": 0}, "linear_order=0: must be at least 1"),
        ({"decays": [1.0]}, r"decays=\[1\.0\]: .*each in \(0, 1\)"),
        ({"escape": 0.0}, r"escape=0\.0: must be in \(0, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            Floors(**{"strengths": STRENGTHS, "linear_order": 4, "decays": [0.5], "escape": 1e-3} | wrong)
