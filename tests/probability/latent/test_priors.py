"""Priors: densities by quadrature and against torch.distributions, samples against densities, in float64."""

from functools import partial

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily
from torch.distributions import Normal as Reference

from genexp.probability.latent.posteriors import DiagonalGaussian, FullCovariance
from genexp.probability.latent.priors import GaussianMixture, StandardNormal, VampPrior

SHAPE = (1, 2, 3)


DIAGONAL = partial(DiagonalGaussian, log_std_range=(-2.0, 0.5))
FULL = partial(FullCovariance, log_diagonal_range=(-2.0, 0.5))


def amortised(latent_dim, make=DIAGONAL):
    """A posterior whose parameters are linear in x, and the function that the family hands to its prior."""
    torch.manual_seed(3)
    posterior = make(latent_dim)
    encoder = torch.nn.Linear(6, posterior.num_params)
    torch.nn.init.normal_(encoder.weight, 0, 0.8)
    return posterior, encoder, lambda inputs: (posterior, encoder(inputs.flatten(1)))


def vamp(latent_dim, components=4, **options):
    _, _, posterior_of = amortised(latent_dim, **options)
    prior = VampPrior(
        components=components, mean=0.5, std=0.4, latent_dim=latent_dim, shape=SHAPE, posterior_of=posterior_of
    )
    return prior


def mixture(latent_dim, components=4):
    torch.manual_seed(4)
    prior = GaussianMixture(
        components=components, initial_spread=1.5, latent_dim=latent_dim, shape=SHAPE, posterior_of=None
    )
    torch.nn.init.normal_(prior.logits)
    torch.nn.init.normal_(prior.log_stds, -0.5, 0.3)
    return prior


def standard(latent_dim):
    return StandardNormal(latent_dim=latent_dim, shape=SHAPE, posterior_of=None)


PRIORS = {
    "standard": standard,
    "mixture": mixture,
    "vamp": vamp,
    "vamp-full": partial(vamp, make=FULL),
}
every_prior = pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS)


@every_prior
def test_densities_integrate_to_one(float64, make):
    with torch.no_grad():
        line = torch.linspace(-20, 20, 40_001)
        assert torch.trapezoid(make(1).log_prob(line[:, None]).exp(), line).item() == pytest.approx(1, abs=1e-6)
        line = torch.linspace(-16, 16, 641)
        square = make(2).log_prob(torch.cartesian_prod(line, line).view(641, 641, 2)).exp()
        assert torch.trapezoid(torch.trapezoid(square, line), line).item() == pytest.approx(1, abs=1e-3)


@every_prior
def test_samples_have_the_density(float64, make):
    """The shares of draws below the quantiles of the density."""
    prior, levels = make(1), torch.linspace(0.05, 0.95, 10)
    line = torch.linspace(-20, 20, 40_001)
    torch.manual_seed(0)
    with torch.no_grad():
        cumulated = torch.cumulative_trapezoid(prior.log_prob(line[:, None]).exp(), line)
        z = prior.sample(100_000, like=line)
        assert z.shape == (100_000, 1) and z.dtype == torch.float64 and prior.sample(1, like=line).shape == (1, 1)
    edges = line[torch.searchsorted(cumulated, levels)]
    assert torch.allclose((z < edges).double().mean(0), levels, atol=0.007)


def test_a_mixture_is_that_of_torch(float64):
    prior, z = mixture(3), torch.randn(5, 2, 3)
    parts = Independent(Reference(prior.means, prior.log_stds.exp()), 1)
    assert torch.allclose(prior.log_prob(z), MixtureSameFamily(Categorical(logits=prior.logits), parts).log_prob(z))


@pytest.mark.parametrize("make", [DIAGONAL, FULL], ids=["diagonal", "full"])
def test_a_vamp_prior_is_the_mean_of_the_posteriors_at_its_pseudo_inputs(float64, make):
    posterior, encoder, _ = amortised(3, make)
    prior, z = vamp(3, components=5, make=make), 2 * torch.randn(4, 7, 3)
    inputs = prior.pseudo_inputs.detach().clamp(0, 1)
    densities = [posterior.log_prob(encoder(u.flatten()[None]).expand(7, -1), z).exp() for u in inputs]
    assert torch.allclose(prior.log_prob(z).exp(), torch.stack(densities).mean(0))
    one = vamp(3, components=1, make=make)
    params = encoder(one.pseudo_inputs.clamp(0, 1).flatten(1)).expand(7, -1)
    assert torch.allclose(one.log_prob(z), posterior.log_prob(params, z))


def test_the_gradient_reaches_encoder_and_pseudo_inputs_inside_the_interval(float64):
    _, encoder, posterior_of = amortised(2)
    prior = VampPrior(components=3, mean=0.5, std=0.1, latent_dim=2, shape=SHAPE, posterior_of=posterior_of)
    with torch.no_grad():
        prior.pseudo_inputs[0] = 1.5
        prior.pseudo_inputs[1, 0, 0, 0] = -0.1
    prior.log_prob(torch.randn(9, 2)).sum().backward()
    moved = prior.pseudo_inputs.grad != 0
    assert not moved[0].any() and not moved[1, 0, 0, 0] and moved[1].sum() == 5 and moved[2].all()
    assert encoder.weight.grad.any() and [name for name, _ in prior.named_parameters()] == ["pseudo_inputs"]


@pytest.mark.parametrize("make", [mixture, vamp], ids=["mixture", "vamp"])
def test_the_memory_does_not_grow_with_the_number_of_z(float64, make, monkeypatch):
    prior, z = make(3), torch.randn(10, 7, 3)
    whole, joint, sizes = prior.log_prob(z), prior.joint_log_prob(), []
    monkeypatch.setattr(prior, "block", 4 * 16)
    monkeypatch.setattr(prior, "joint_log_prob", lambda: lambda part: sizes.append(len(part)) or joint(part))
    assert torch.allclose(prior.log_prob(z), whole) and sizes == [16, 16, 16, 16, 6]


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (GaussianMixture, {"components": 0, "initial_spread": 1.0}, "components=0"),
        (GaussianMixture, {"components": 2, "initial_spread": 0.0}, "initial_spread=0.0: must be positive"),
        (VampPrior, {"components": 0, "mean": 0.5, "std": 0.1}, "components=0"),
        (VampPrior, {"components": 2, "mean": 0.5, "std": 0.0}, "std=0.0: must be positive"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(make, change, message):
    with pytest.raises(ValueError, match=message):
        make(latent_dim=2, shape=SHAPE, posterior_of=None, **change)
