"""The beta-binomial against its recurrence and its moments; what all observation models promise is in test_observation."""

import math

import pytest
import torch

from genexp.probability.observation.beta_binomial import BetaBinomial


def probabilities(observation, params, levels):
    x = torch.arange(levels)
    return observation.log_prob(torch.tensor(params).expand(levels, 2), x)


@pytest.mark.parametrize("params", [(0.0, 0.0), (-1.0, 2.0), (9.0, 4.0), (-6.0, -6.5), (10.0, 10.0)], ids=str)
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_recurrence_over_the_levels(float64, levels, params):
    """p(x + 1) / p(x) = (n - x) (x + alpha) / ((x + 1) (n - x - 1 + beta)), and the moments."""
    n, (a, b), x = levels - 1, map(math.exp, params), torch.arange(levels - 1.0)
    log_p = probabilities(BetaBinomial(levels), params, levels)
    ratio = (n - x) * (x + a) / ((x + 1) * (n - x - 1 + b))
    assert torch.allclose(log_p.diff(), ratio.log(), atol=1e-9)
    p, x = log_p.exp(), torch.arange(levels * 1.0)
    mean = p @ x
    assert mean.item() == pytest.approx(n * a / (a + b))
    variance = n * a * b * (a + b + n) / ((a + b) ** 2 * (a + b + 1))
    assert (p @ (x - mean) ** 2).item() == pytest.approx(variance, rel=1e-8)


def test_a_flat_beta_gives_a_flat_distribution(float64):
    assert torch.allclose(probabilities(BetaBinomial(256), (0.0, 0.0), 256), torch.tensor(-math.log(256)))


def test_parameters_are_clamped():
    observation, x = BetaBinomial(17), torch.arange(17)
    for inside, outside in ((-7.0, -50.0), (10.0, 90.0)):
        values = [observation.log_prob(torch.tensor([[v, 0.0]]).expand(17, 2), x) for v in (inside, outside)]
        assert torch.equal(*values)


@pytest.mark.parametrize("params", [(-7.0, -7.0), (-7.0, 0.0), (-3.0, -2.0), (10.0, 8.0)], ids=str)
def test_samples_where_the_beta_is_extreme(params):
    """Draws of p too near 0 or 1 for a float, and nearly certain ones."""
    n, levels = 40_000, 17
    observation = BetaBinomial(levels)
    expected = probabilities(observation, params, levels).double().exp()
    torch.manual_seed(0)
    found = torch.bincount(observation.sample(torch.tensor(params).expand(n, 2)).long(), minlength=levels) / n
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt() + 5 / n).all()


def test_temperature_scales_the_distance_from_the_mean():
    observation, params = BetaBinomial(256), torch.tensor([[0.0, 0.7]]).expand(20_000, 2)
    torch.manual_seed(0)
    spread = [observation.sample(params, temperature).double().std() for temperature in (1.0, 0.5, 1e-6)]
    assert spread[1].item() == pytest.approx(spread[0].item() / 2, rel=0.02) and spread[2] == 0
    assert torch.equal(observation.sample(params[:1], 1e-6), observation.mean(params[:1]))


def test_the_mean_is_the_nearest_level():
    params = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0], [-20.0, 20.0]])
    assert BetaBinomial(17).mean(params).tolist() == [8, 12, 0]
