"""Observation models: normalised, sampled as they say, and finite where parameters are extreme."""

import math
import time

import pytest
import torch
from torch.distributions import Normal as Reference

from genexp.probability.observation.base import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    Normal,
    bounded_above,
    by_levels,
)
from genexp.probability.observation.beta_binomial import BetaBinomial
from genexp.probability.observation.truncated_normal import DiscretizedTruncatedNormal

DISCRETE = [
    (lambda: Bernoulli(2), 2),
    *[(lambda n=n: Categorical(n), n) for n in (2, 17, 256)],
    *[(lambda n=n, k=k: DiscretizedLogisticMixture(n, k), n) for n in (2, 17, 256) for k in (1, 5)],
    (lambda: DiscretizedLogisticMixture(17, 5, max_log_scale=-1.0), 17),
    *[(lambda n=n, make=make: make(n), n) for make in (BetaBinomial, DiscretizedTruncatedNormal) for n in (2, 17, 256)],
]
IDS = ["bernoulli", *[f"categorical-{n}" for n in (2, 17, 256)]]
IDS += [f"logistic-{n}-{k}" for n in (2, 17, 256) for k in (1, 5)]
IDS += ["bounded_logistic-17-5"]
IDS += [f"{name}-{n}" for name in ("beta_binomial", "truncated_normal") for n in (2, 17, 256)]
over_discrete = pytest.mark.parametrize("make, levels", DISCRETE, ids=IDS)


def draw(observation, scale, n=50, seed=0):
    """Random parameters ``(n, P)``."""
    return scale * torch.randn(n, observation.num_params, generator=torch.Generator().manual_seed(seed))


def log_probs(observation, params, levels):
    """log p of every level: params ``(B, P)`` -> ``(levels, B)``."""
    return torch.stack([observation.log_prob(params, torch.full((len(params),), x)) for x in range(levels)])


@over_discrete
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 5.0, 40.0, 1000.0])
def test_probabilities_sum_to_one(float64, make, levels, scale):
    observation = make()
    total = log_probs(observation, draw(observation, scale).double(), levels).logsumexp(0)
    assert torch.allclose(total, torch.zeros(()), atol=1e-8)


@pytest.mark.parametrize("levels", [17, 256])
@pytest.mark.parametrize("log_scale", [-20.0, -7.0, -5.0, -2.0, 0.0, 10.0, 49.0, 80.0])
@pytest.mark.parametrize("mean", [-30.0, -1.0, 0.0, 0.0625, 1 / 255, 0.9, 1.0, 30.0])
def test_narrow_wide_and_distant_logistics_sum_to_one(float64, levels, log_scale, mean):
    params = torch.tensor([[0.0, mean, log_scale]])
    total = log_probs(DiscretizedLogisticMixture(levels, 1), params, levels).logsumexp(0)
    assert torch.allclose(total, torch.zeros(()), atol=1e-8)


def test_the_logistic_mixture_integrates_the_logistic_over_the_bins(float64):
    """Against differences of the distribution function, where these are accurate."""
    observation, levels = DiscretizedLogisticMixture(17, 3), 17
    params = draw(observation, 0.5, n=20)
    logits, means, log_scales = params.chunk(3, dim=1)
    edges = torch.cat([torch.tensor([-torch.inf]), (torch.arange(16) + 0.5) / 8 - 1, torch.tensor([torch.inf])])
    cdf = torch.sigmoid((edges[:, None, None] - means) / log_scales.exp())
    expected = (logits.softmax(1) * cdf.diff(dim=0)).sum(2)
    assert torch.allclose(log_probs(observation, params, levels).exp(), expected, rtol=1e-9)


@over_discrete
def test_samples_follow_the_probabilities(make, levels):
    """Pearson's statistic over the levels expected five times is within five standard deviations."""
    observation, n = make(), 20_000
    for seed in range(3):
        params = draw(observation, 1.0, n=1, seed=seed)
        expected = log_probs(observation, params, levels)[:, 0].exp() * n
        torch.manual_seed(100 + seed)
        x = observation.sample(params.expand(n, -1))
        assert x.dtype == torch.uint8 and x.shape == (n,)
        often = expected > 5
        found = torch.bincount(x.long(), minlength=levels)
        statistic = ((found - expected) ** 2 / expected)[often].sum()
        freedom = max(int(often.sum()) - 1, 1)
        assert statistic < freedom + 5 * (2 * freedom) ** 0.5
        assert found[~often].sum() < 5 * expected[~often].sum() + 10


@pytest.mark.parametrize("make, levels", DISCRETE[:4], ids=IDS[:4])
def test_low_temperature_gives_the_mode(make, levels):
    observation = make()
    params = draw(observation, 0.7)
    mode = log_probs(observation, params, levels).argmax(0)
    torch.manual_seed(0)
    assert torch.equal(observation.sample(params, temperature=1e-6).long(), mode)


def test_low_temperature_gives_the_mean_of_the_heaviest_logistic_and_of_the_normal():
    params = torch.tensor([[0.0, 1.0, -1.0, 0.5, -0.5, 0.9, 0.0, 0.0, 0.0]])
    assert DiscretizedLogisticMixture(17, 3).sample(params, temperature=1e-6).item() == 4
    assert Normal(None, -5.0).sample(torch.tensor([[0.25, 1.0]]), 1e-9).item() == pytest.approx(0.25)


@over_discrete
@pytest.mark.parametrize("size", [0.0, 30.0, 1e4])
def test_log_probs_and_gradients_are_finite_at_extreme_parameters(make, levels, size):
    observation = make()
    signs = draw(observation, 1.0, n=40).sign()
    params = (size * signs).requires_grad_()
    for x in {0, levels // 2, levels - 1}:
        value = observation.log_prob(params, torch.full((40,), x))
        (gradient,) = torch.autograd.grad(value.sum(), params)
        assert torch.isfinite(value).all() and torch.isfinite(gradient).all()
        assert (value <= 1e-6).all()


@over_discrete
def test_any_shape_of_data(make, levels):
    observation = make()
    params = torch.randn(2, observation.num_params, 1, 3, 4)
    x = observation.sample(params)
    assert x.shape == (2, 1, 3, 4) and int(x.max()) < levels
    value = observation.log_prob(params, x)
    assert value.shape == x.shape
    alone = observation.log_prob(params[1:, :, 0, 2, 3], x[1:, 0, 2, 3])
    assert torch.allclose(value[1:, 0, 2, 3], alone, atol=1e-6)


def test_normal_agrees_with_torch_distributions(float64):
    params, x = torch.randn(5, 2, 3), torch.randn(5, 3)
    expected = Reference(params[:, 0], params[:, 1].clamp(min=-0.5).exp()).log_prob(x)
    observation = Normal(None, min_log_std=-0.5)
    assert torch.allclose(observation.log_prob(params, x), expected)
    torch.manual_seed(0)
    draws = observation.sample(torch.tensor([[2.0, 0.5]]).expand(100_000, 2), temperature=0.5)
    assert draws.mean() == pytest.approx(2, abs=0.02)
    assert draws.std() == pytest.approx(0.5 * 2.71828**0.5, rel=0.02)


@pytest.mark.parametrize(
    "make, advice",
    [
        (lambda: Bernoulli(17), "categorical"),
        (lambda: Bernoulli(None), "normal"),
        (lambda: Categorical(None), "normal"),
        (lambda: DiscretizedLogisticMixture(None, 5), "normal"),
        (lambda: BetaBinomial(None), "normal"),
        (lambda: DiscretizedTruncatedNormal(None), "normal"),
        (lambda: Normal(256, -5.0), "categorical"),
    ],
)
def test_the_wrong_data_are_refused_with_the_right_choice(make, advice):
    with pytest.raises(ValueError, match=f"choose model/observation={advice}"):
        make()


def test_a_mixture_needs_a_component():
    with pytest.raises(ValueError, match="components=0"):
        DiscretizedLogisticMixture(17, 0)


def test_scales_are_bounded_above_without_losing_their_gradient(float64):
    log_scales = torch.tensor([-30.0, -6.0, -1.0, 0.0, 5.0, 20.0], requires_grad=True)
    bounded = bounded_above(log_scales, -1.0)
    (gradient,) = torch.autograd.grad(bounded.sum(), log_scales)
    assert (bounded < -1).all() and (bounded.diff() > 0).all() and (gradient > 0).all()
    assert torch.allclose(bounded[:2], log_scales[:2], atol=0.01) and bounded[2].item() == pytest.approx(
        -1.6931, abs=1e-4
    )
    assert bounded_above(log_scales, None) is log_scales


def test_a_bounded_logistic_does_not_heap_what_it_does_not_know_on_the_ends():
    """Without a bound it draws black or white, with one something like the uniform distribution."""
    params = torch.tensor([[0.0, 0.0, 10.0]]).expand(20_000, 3)
    x, bounded = (
        DiscretizedLogisticMixture(256, 1, maximum).sample(params).double() for maximum in (None, -math.log(math.pi))
    )
    assert ((x == 0) | (x == 255)).double().mean() > 0.99
    assert ((bounded == 0) | (bounded == 255)).double().mean() < 0.1
    assert bounded.std().item() == pytest.approx(255 / 12**0.5, rel=0.15)


@pytest.mark.parametrize("maximum", [-7.0, 50, float("nan")])
def test_a_bound_outside_the_range_of_the_scales_is_refused(maximum):
    with pytest.raises(ValueError, match=f"max_log_scale={maximum}: must be in .-7, 50., or null for none"):
        DiscretizedLogisticMixture(256, 5, maximum)


@pytest.mark.parametrize("levels", [2, 17])
def test_the_mean_is_the_nearest_level_to_the_mean_of_many_draws(levels):
    torch.manual_seed(0)
    for observation in (Categorical(levels), DiscretizedLogisticMixture(levels, 2)):
        params = torch.randn(1, observation.num_params, 6)
        params[:, -2:] -= 3 * isinstance(observation, DiscretizedLogisticMixture)  # narrow: little is cut off
        drawn = observation.sample(params.expand(20_000, -1, -1)).double().mean(0)
        found = observation.mean(params)[0].double()
        assert found.shape == (6,) and (found - drawn).abs().max() < 0.6


@over_discrete
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 40.0])
def test_the_expectation_is_the_sum_over_the_levels_and_the_mean_its_nearest_level(float64, make, levels, scale):
    observation = make()
    params = draw(observation, scale, n=400).double()
    expected = (log_probs(observation, params, levels).exp() * torch.arange(levels)[:, None]).sum(0)
    found = observation.expectation(params)
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    is_clear = (found % 1 - 0.5).abs() > 1e-6
    assert torch.equal(found.round().to(torch.uint8)[is_clear], observation.mean(params)[is_clear])


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_means_of_narrow_wide_and_distant_logistics(float64, levels):
    grid = torch.cartesian_prod(
        torch.tensor([-1000.0, -30, -1.01, -1, 0, 1 / 255, 0.9, 30]), torch.linspace(-8, 60, 137)
    )
    params = torch.cat([torch.zeros(len(grid), 1), grid], dim=1)
    observation = DiscretizedLogisticMixture(levels, 1)
    expected = (log_probs(observation, params, levels).exp() * torch.arange(levels)[:, None]).sum(0)
    assert torch.allclose(observation.expectation(params), expected, rtol=0, atol=1e-6)
    single = observation.expectation(params.float())
    assert single.dtype == torch.float32 and torch.allclose(single.double(), expected, rtol=1e-5, atol=1e-5 * levels)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_means_of_narrow_wide_and_distant_truncated_normals(float64, levels):
    params = torch.cartesian_prod(torch.linspace(-5, 5, 41), torch.linspace(-8, 4, 49))
    observation = DiscretizedTruncatedNormal(levels)
    expected = (log_probs(observation, params, levels).exp() * torch.arange(levels)[:, None]).sum(0)
    assert torch.allclose(observation.expectation(params), expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_means_of_colour_pictures_take_no_time():
    """88 of 3x32x32 in 256 levels, which took 15 seconds of processor time by a sum over the levels."""
    observation = DiscretizedLogisticMixture(256, 5, -1.1447)
    params = torch.randn(88, 15, 3, 32, 32)
    params[:, 10:] -= 3
    started = time.process_time()
    observation.mean(params)
    assert time.process_time() - started < 1.0


def test_the_mean_of_a_bernoulli_and_of_a_normal():
    params = torch.tensor([[[-0.1, 0.1]]])
    assert Bernoulli(2).mean(params).tolist() == [[0, 1]]
    assert Normal(None, -5.0).mean(torch.tensor([[1.5, 2.0]])).tolist() == [1.5]


@pytest.mark.parametrize(
    ("levels", "kind"),
    [(2, Bernoulli), (3, Categorical), (32, Categorical), (33, DiscretizedLogisticMixture), (None, Normal)],
)
def test_the_customary_model_of_so_many_levels(levels, kind):
    observation = by_levels(levels, components=2, min_log_std=-5.0, max_log_scale=-1.5)
    assert isinstance(observation, kind)
    if kind is DiscretizedLogisticMixture:
        assert observation.max_log_scale == -1.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_densities_are_computed_in_float32_from_parameters_in_half_precision(dtype):
    for model, levels in [*[(make(), levels) for make, levels in DISCRETE], (Normal(None, -5.0), None)]:
        params = (4 * torch.randn(50, model.num_params, 3)).to(dtype)
        x = torch.randn(50, 3) if levels is None else torch.randint(levels, (50, 3)).to(torch.uint8)
        value = model.log_prob(params, x)
        assert value.dtype == torch.float32 and torch.equal(value, model.log_prob(params.float(), x))
