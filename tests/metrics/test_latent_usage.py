"""x ~ N(0, I) and linear-Gaussian q(z | x): the aggregate posterior is Gaussian, and all is known in closed form."""

import math

import pytest
import torch
from linear_gaussian import NOISE, linear_gaussian
from stand_ins import Tensors, Uniform
from torch.distributions import Normal, kl_divergence

from genexp.metrics.latent_usage import Latents
from genexp.probability.latent.posteriors import DiagonalGaussian

N = 1000
SLOPE, STD, WEIGHT = [0.9, 0.05, 0.3], [0.5, 0.8, 1.0], [1.0, 0.0, 2.0]


def metric(**changes):
    return Latents(**{"limit": None, "active_threshold": 0.01, "pairs_at_once": 300_000} | changes)


def measure(model, x, **changes):
    values = metric(**changes).compute(model, Tensors(None, test=x), "test", 0)
    return {value.key.removeprefix("test/"): value for value in values}


@pytest.fixture
def x(float64):
    torch.manual_seed(0)
    return torch.randn(N, 3)


def test_every_value_is_that_of_the_closed_form(x):
    found = measure(linear_gaussian(SLOPE, STD, WEIGHT), x)
    slope, std, weight = (torch.tensor(values) for values in (SLOPE, STD, WEIGHT))
    marginal = (slope**2 + std**2).sqrt()
    information = (marginal / std).log()
    divergence = kl_divergence(Normal(torch.zeros(3), marginal), Normal(0.0, 1.0))
    residual = (1 - weight * slope) ** 2 + (weight * std) ** 2
    distortion = 0.5 * residual / NOISE**2 + math.log(NOISE) + 0.5 * math.log(2 * math.pi)
    for name, expected in (
        ("rate_nats", (information + divergence).sum()),
        ("distortion_nats", distortion.sum()),
        ("mutual_information_nats", information.sum()),
        ("aggregate_kl_nats", divergence.sum()),
    ):
        value = found[name]
        assert value.n == N and value.unit == "nats" and value.kind == "estimate"
        assert abs(value.value - expected) < 4 * value.stderr + 0.02, name  # a bias of the order of 1 / N
        assert value.stderr < 0.5
    assert found["rate_nats"].protocol == found["distortion_nats"].protocol  # else no plane has both
    parts = found["rate_nats"].parts
    assert list(parts) == ["0", "1", "2"]
    assert sum(part["value"] for part in parts.values()) == pytest.approx(found["rate_nats"].value)
    for part, expected in zip(parts.values(), information + divergence, strict=True):
        assert abs(part["value"] - expected) < 4 * part["stderr"]
    assert found["active_units"].value == 2 and found["active_units"].protocol["of"] == 3
    assert measure(linear_gaussian(SLOPE, STD, WEIGHT), x, active_threshold=0.5)["active_units"].value == 1


def test_a_collapsed_posterior_is_the_prior(x):
    found = measure(linear_gaussian([0.0] * 3, [1.0] * 3, WEIGHT), x)
    for name in ("rate_nats", "active_units", "mutual_information_nats", "aggregate_kl_nats"):
        assert found[name].value == pytest.approx(0, abs=1e-12), name
    assert abs(found["latent_mmd"].value) < 1e-3
    far = measure(linear_gaussian([0.0] * 3, [0.1] * 3, WEIGHT), x)
    assert far["latent_mmd"].value > 0.05 and far["aggregate_kl_nats"].value > 3


def test_the_mutual_information_is_at_most_the_logarithm_of_the_number_of_examples(x):
    found = measure(linear_gaussian([1.0] * 3, [1e-3] * 3, WEIGHT), x, limit=50)
    assert found["mutual_information_nats"].value == pytest.approx(math.log(50), abs=1e-6)
    assert found["mutual_information_nats"].protocol["at_most"] == 3.91
    assert found["rate_nats"].n == 50


def test_pairs_in_pieces_are_all_pairs(x):
    model = linear_gaussian(SLOPE, STD, WEIGHT)
    whole, pieces = (measure(model, x[:20], pairs_at_once=size) for size in (10_000, 1))
    for name, value in whole.items():
        assert pieces[name].value == pytest.approx(value.value), name


def test_draws_are_keyed_and_disturb_nothing(x):
    model = linear_gaussian(SLOPE, STD, WEIGHT).train()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = measure(model, x[:20])
    assert torch.equal(torch.get_rng_state(), state) and model.training
    assert measure(model, x[:20]) == first


class OwnDrawsOnly(DiagonalGaussian):
    """No closed form of the rates."""

    def rates(self, params):
        return None


def test_what_the_model_does_not_know_is_estimated_or_left_out(x, monkeypatch):
    model = linear_gaussian(SLOPE, STD, WEIGHT, OwnDrawsOnly)
    exact = measure(linear_gaussian(SLOPE, STD, WEIGHT), x)["rate_nats"]
    found = measure(model, x)["rate_nats"]
    assert found.parts is None and abs(found.value - exact.value) < 4 * found.stderr
    assert exact.parts is not None
    monkeypatch.setattr(type(model), "log_posterior", lambda self, z, x, y=None: None)
    notes = []
    model.context.note = notes.append
    names = list(measure(model, x[:20]))
    assert names == ["rate_nats", "distortion_nats", "active_units", "latent_mmd"]
    assert "mutual information and aggregate KL skipped" in notes[0]


@pytest.mark.parametrize(
    "change", [{"limit": 0}, {"limit": 1}, {"active_threshold": 0.0}, {"pairs_at_once": 0}], ids=str
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}=.*must be"):
        metric(**change)


def test_a_model_without_latent_variables_is_refused():
    data = Tensors(256, test=torch.zeros(2, 1, 2, 3, dtype=torch.uint8))
    assert metric().refusal(Uniform(data.shape), data) == "needs LatentVariables, which Uniform does not provide"
