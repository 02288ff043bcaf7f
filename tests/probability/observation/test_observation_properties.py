"""What holds of every observation model of levels, for any parameters and any number of levels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genexp.probability.observation.base import Bernoulli, Categorical, DiscretizedLogisticMixture
from genexp.probability.observation.beta_binomial import BetaBinomial
from genexp.probability.observation.pixel_logistic_mixture import PixelLogisticMixture
from genexp.probability.observation.truncated_normal import DiscretizedTruncatedNormal

MODELS = {
    "bernoulli": lambda levels: Bernoulli(2),
    "categorical": Categorical,
    "logistic": lambda levels: DiscretizedLogisticMixture(levels, 1),
    "logistics": lambda levels: DiscretizedLogisticMixture(levels, 3),
    "bounded_logistics": lambda levels: DiscretizedLogisticMixture(levels, 3, max_log_scale=-1.5),
    "beta_binomial": BetaBinomial,
    "truncated_normal": DiscretizedTruncatedNormal,
}
LEVELS = st.integers(2, 256)
always = settings(max_examples=25, deadline=None, derandomize=True, database=None)
every_model = pytest.mark.parametrize("name", MODELS)


@st.composite
def parameters(draw, num_params, dtype=torch.float64):
    """Of one dimension ``(1, P)``: small, large, and of both kinds at once."""
    size = draw(st.sampled_from([1.0, 10.0, 1e3]))
    values = draw(st.lists(st.floats(-size, size), min_size=num_params, max_size=num_params))
    return torch.tensor([values], dtype=dtype)


def made(name, levels):
    """The model, and the number of levels that it observes."""
    return MODELS[name](levels), 2 if name == "bernoulli" else levels


@every_model
@pytest.mark.parametrize("precision, tolerance", [("float64", 1e-8), ("float32", 1e-3)])
def test_probabilities_sum_to_one(request, name, precision, tolerance):
    if precision == "float64":
        request.getfixturevalue("float64")
    dtype = getattr(torch, precision)

    @always
    @given(LEVELS, st.data())
    def check(levels, data):
        observation, levels = made(name, levels)
        params = data.draw(parameters(observation.num_params, dtype))
        log_p = observation.log_prob(params.expand(levels, -1), torch.arange(levels))
        assert log_p.dtype == dtype and (log_p <= tolerance).all()
        assert abs(log_p.logsumexp(0).item()) < tolerance

    check()


@every_model
def test_samples_and_means_are_levels_that_are_possible(name):
    @settings(always, max_examples=10)
    @given(st.integers(2, 64), st.sampled_from([0.1, 1.0, 3.0]), st.data())
    def check(levels, temperature, data):
        observation, levels = made(name, levels)
        params = data.draw(parameters(observation.num_params))
        for x in (observation.sample(params, temperature), observation.mean(params), observation.decode(params, 0.0)):
            assert x.dtype == torch.uint8 and x.shape == (1,) and int(x) < levels
            assert torch.isfinite(observation.log_prob(params, x)).all()

    check()


def test_all_colours_of_a_pixel_sum_to_one(float64):
    @always
    @given(st.integers(2, 6), st.integers(1, 3), st.integers(1, 3), st.data())
    def check(levels, channels, components, data):
        observation = PixelLogisticMixture(levels, channels, components)
        params = data.draw(parameters(observation.num_params)).unsqueeze(2)
        x = torch.cartesian_prod(*[torch.arange(levels)] * channels).view(-1, channels)
        log_p = observation.log_prob(params.expand(len(x), -1, -1), x)
        assert log_p.shape == (len(x), 1) and abs(log_p.logsumexp(0).item()) < 1e-8

    check()
