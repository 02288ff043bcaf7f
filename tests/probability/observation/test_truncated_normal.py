"""The discretised truncated normal against integrals of its density; what all observation models promise is in
test_observation."""

import pytest
import torch

from genexp.probability.observation.truncated_normal import DiscretizedTruncatedNormal, normal_log_mass

PARAMS = [(0.1, -1.0), (-0.9, -3.0), (1.5, -1.5), (-4.0, -3.0), (3.0, -4.0), (4.0, 3.0), (0.0, 3.0), (0.5, -7.0)]


def log_probs(params, levels):
    x = torch.arange(levels)
    return DiscretizedTruncatedNormal(levels).log_prob(torch.tensor(params).expand(levels, 2), x)


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("levels", [2, 17])
def test_bins_hold_the_integral_of_the_density(float64, levels, params):
    """By the midpoint rule with so many points in a bin that the steepest tail is smooth between them."""
    mean, std = params[0], torch.tensor(params[1]).exp()
    points = 200_000
    v = (torch.arange(levels * points) + 0.5) / points * 2 / (levels - 1) - 1 - 1 / (levels - 1)
    log_density = (-0.5 * ((v - mean) / std) ** 2).view(levels, points)
    expected = log_density.logsumexp(1).log_softmax(0)
    found = log_probs(params, levels)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.allclose(found.logsumexp(0), torch.zeros(()), atol=1e-8)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("log_std", [-20.0, -7.0, -5.0, -1.0, 0.0, 3.0, 50.0])
@pytest.mark.parametrize("mean", [-30.0, -4.0, -1.1, 0.0, 1 / 255, 1.0, 3.0])
def test_narrow_wide_and_distant_normals_sum_to_one_and_mirror(float64, levels, mean, log_std):
    found = log_probs((mean, log_std), levels)
    assert torch.isfinite(found).all()
    assert torch.allclose(found.logsumexp(0), torch.zeros(()), atol=1e-8)
    assert torch.allclose(found, log_probs((-mean, log_std), levels).flip(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("x", [0, 100, 255])
def test_gradients_are_those_of_differences_deep_in_the_tails(float64, x):
    for params in ((3.0, -5.0), (-2.0, -3.0), (0.3, -6.5), (1.0, 2.0)):
        params = torch.tensor([params], requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda p: DiscretizedTruncatedNormal(256).log_prob(p, torch.tensor([x])), params, rtol=1e-3, atol=1e-3
        )


def test_log_masses_where_differences_of_the_distribution_function_are_exact(float64):
    lower = torch.tensor([-3.0, -1.0, -0.5, 0.2, 2.0])
    upper = lower + torch.tensor([0.5, 2.0, 1.0, 0.1, 3.0])
    expected = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    assert torch.allclose(normal_log_mass(lower, upper).exp(), expected, rtol=1e-12)
    far = normal_log_mass(torch.tensor([40.0, -41.0]), torch.tensor([41.0, -40.0]))
    assert torch.allclose(far, torch.special.log_ndtr(torch.tensor(-40.0)))  # what lies beyond 41 is nothing beside it


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_samples_of_normals_far_outside(params):
    n, levels = 20_000, 17
    expected = log_probs(params, levels).double().exp()
    torch.manual_seed(0)
    x = DiscretizedTruncatedNormal(levels).sample(torch.tensor(params).expand(n, 2))
    found = torch.bincount(x.long(), minlength=levels) / n
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt() + 5 / n).all()


def test_temperature_scales_the_standard_deviation():
    observation = DiscretizedTruncatedNormal(256)
    params = torch.tensor([[0.1, -2.0]]).expand(20_000, 2)
    torch.manual_seed(0)
    spread = [observation.sample(params, temperature).double().std() for temperature in (1.0, 0.5)]
    assert spread[1].item() == pytest.approx(spread[0].item() / 2, rel=0.02)
    means = torch.tensor([[0.1, 0.0], [-3.0, 1.0], [2.0, -7.0]])
    assert observation.sample(means, 1e-12).tolist() == [140, 0, 255]


def test_the_mean_is_that_of_the_levels(float64):
    params = torch.tensor(PARAMS)
    levels = torch.arange(17.0)
    expected = torch.stack([log_probs(p, 17).exp() @ levels for p in PARAMS]).round()
    assert torch.equal(DiscretizedTruncatedNormal(17).mean(params), expected.to(torch.uint8))
