"""The mixture over the channels of a pixel: normalised, the product of its conditionals, sampled as it says."""

import pytest
import torch

from genexp.probability.observation.base import DiscretizedLogisticMixture
from genexp.probability.observation.pixel_logistic_mixture import PixelLogisticMixture


def draw(observation, scale=1.0, n=20, rest=(), seed=0):
    """Random parameters ``(n, P, 1, *rest)``."""
    return scale * torch.randn(n, observation.num_params, 1, *rest, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels, levels", [(1, 17), (2, 5), (3, 2), (3, 4), (4, 2)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0, 40.0])
def test_probabilities_of_all_pixels_sum_to_one(float64, all_examples, channels, levels, scale):
    observation, x = PixelLogisticMixture(levels, channels, components=3), all_examples((channels,), levels)
    for params in draw(observation, scale, n=5).double():
        log_p = observation.log_prob(params.expand(len(x), -1, -1), x)
        assert log_p.shape == (len(x), 1) and log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-10)


def test_number_of_parameters():
    assert PixelLogisticMixture(256, 3, 10).num_params == 100  # as in the authors' code
    assert PixelLogisticMixture(256, 1, 10).num_params == DiscretizedLogisticMixture(256, 10).num_params


def test_the_joint_is_the_product_of_the_conditionals(float64):
    observation, single = PixelLogisticMixture(17, 3, components=4), DiscretizedLogisticMixture(17, 4)
    params, x = draw(observation, rest=(2, 3)).double(), torch.randint(17, (20, 3, 2, 3)).to(torch.uint8)
    parts = [single.log_prob(observation.conditional(params, x, channel), x[:, channel]) for channel in range(3)]
    assert torch.allclose(observation.log_prob(params, x), sum(parts).unsqueeze(1), rtol=1e-12)
    for channel in range(3):  # a conditional does not look at what comes after
        other = x.clone()
        other[:, channel:] = 0
        assert torch.equal(observation.conditional(params, x, channel), observation.conditional(params, other, channel))


def test_the_means_are_linear_in_the_channels_before(float64):
    """Equation 3, written out for one component."""
    observation, single = PixelLogisticMixture(256, 3, 1), DiscretizedLogisticMixture(256, 1)
    params = draw(observation, 0.5, n=1).double()
    _, r, g, b, *log_scales, alpha, beta, gamma = params.flatten().tolist()
    alpha, beta, gamma = (torch.tensor(c).tanh() for c in (alpha, beta, gamma))
    x = torch.tensor([[200, 30, 90]], dtype=torch.uint8)
    red, green, _ = (x[0].double() / 127.5 - 1).tolist()
    means = [r, g + alpha * red, b + beta * red + gamma * green]
    expected = sum(
        single.log_prob(torch.tensor([[0.0, mean, log_scale]]), level[None])
        for mean, log_scale, level in zip(means, log_scales, x[0], strict=True)
    )
    assert observation.log_prob(params, x).item() == pytest.approx(expected.item(), rel=1e-12)


def test_samples_follow_the_probabilities(all_examples):
    observation, n = PixelLogisticMixture(3, 3, components=2), 40_000
    x = all_examples((3,), 3)
    for seed in range(3):
        params = draw(observation, n=1, seed=seed)
        expected = n * observation.log_prob(params.expand(len(x), -1, -1), x).exp().squeeze(1)
        torch.manual_seed(seed)
        drawn = observation.sample(params.expand(n, -1, -1)).long()
        found = torch.bincount(drawn @ torch.tensor([9, 3, 1]), minlength=27)
        often = expected > 5
        statistic = ((found - expected) ** 2 / expected)[often].sum()
        assert often.sum() > 8 and statistic < often.sum() - 1 + 5 * (2 * often.sum()) ** 0.5


def test_shapes_and_single_pixels(float64):
    observation = PixelLogisticMixture(256, 3, 2)
    params = draw(observation, n=2, rest=(4, 5)).double()
    x = observation.sample(params)
    assert x.shape == observation.mean(params).shape == (2, 3, 4, 5) and x.dtype == torch.uint8
    value = observation.log_prob(params, x)
    assert value.shape == (2, 1, 4, 5)
    alone = observation.log_prob(params[1:, :, :, 2, 3], x[1:, :, 2, 3])
    assert alone.shape == (1, 1) and alone.item() == pytest.approx(value[1, 0, 2, 3].item())
    assert observation.sample(params[:, :, :, 0, 0]).shape == (2, 3)


@pytest.mark.parametrize("maximum", [None, -1.0])
def test_one_channel_is_the_mixture_of_a_dimension(float64, maximum):
    pixel, single = PixelLogisticMixture(17, 1, 3, maximum), DiscretizedLogisticMixture(17, 3, maximum)
    params = draw(pixel, rest=(2, 2)).double()
    parts = params[:, 3:].unflatten(1, (3, 2)).transpose(1, 2).flatten(1, 2)  # by component there, by kind here
    x = torch.randint(17, (20, 1, 2, 2)).to(torch.uint8)
    assert torch.allclose(pixel.log_prob(params, x), single.log_prob(torch.cat([params[:, :3], parts], dim=1), x))


def test_narrow_pixels_are_drawn_at_their_means():
    observation = PixelLogisticMixture(256, 3, 1)
    params = draw(observation, 0.1, n=30)
    params[:, 4:7] = -7
    x = observation.sample(params).int()
    assert ((x - observation.mean(params).int()).abs() <= 3).all() and len(x.unique()) > 10
    assert torch.equal(observation.sample(params, temperature=1e-6), observation.mean(params))


@pytest.mark.parametrize("size", [0.0, 30.0, 1e4])
def test_log_probs_and_gradients_are_finite_at_extreme_parameters(size):
    observation = PixelLogisticMixture(256, 3, 2)
    params = (size * draw(observation, n=40).sign()).requires_grad_()
    for level in (0, 128, 255):
        value = observation.log_prob(params, torch.full((40, 3), level))
        (gradient,) = torch.autograd.grad(value.sum(), params)
        assert torch.isfinite(value).all() and torch.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_densities_are_computed_in_float32_from_parameters_in_half_precision(dtype):
    observation = PixelLogisticMixture(256, 3, 2)
    params, x = (4 * draw(observation, rest=(3,))).to(dtype), torch.randint(256, (20, 3, 3)).to(torch.uint8)
    value = observation.log_prob(params, x)
    assert value.dtype == torch.float32 and torch.equal(value, observation.log_prob(params.float(), x))


def test_scales_are_bounded_above():
    """Those of draws, of densities, and of means are the same."""
    wide, bound = draw(PixelLogisticMixture(17, 3, 1), 0.1, n=1), -3.0
    wide[:, 4:7] = 40
    bounded = wide.clone()
    bounded[:, 4:7] = bound
    observation, plain = PixelLogisticMixture(17, 3, 1, bound), PixelLogisticMixture(17, 3, 1)
    x = plain.sample(wide.expand(100, -1, -1))
    assert ((x == 0) | (x == 16)).double().mean() > 0.99
    assert torch.allclose(
        observation.log_prob(wide.expand(100, -1, -1), x), plain.log_prob(bounded.expand(100, -1, -1), x)
    )
    assert torch.equal(observation.mean(wide), plain.mean(bounded))
    torch.manual_seed(0)
    drawn = observation.sample(wide)
    torch.manual_seed(0)
    assert torch.equal(drawn, plain.sample(bounded))


def test_impossible_choices_are_refused():
    with pytest.raises(ValueError, match="choose model/observation=normal"):
        PixelLogisticMixture(None, 3, 5)
    with pytest.raises(ValueError, match="components=0"):
        PixelLogisticMixture(256, 3, 0)
    with pytest.raises(ValueError, match="max_log_scale=-8: must be in"):
        PixelLogisticMixture(256, 3, 5, -8)
