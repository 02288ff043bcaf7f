"""Densities that are fitted without gradients."""

from itertools import pairwise

import pytest
import torch

from genexp.probability.transforms.fitted_mixtures import GaussianMixtureEM, MixtureOfFactorAnalysers
from genexp.probability.transforms.linear import Unchanged, Whiten


def two_clusters(n=400):
    torch.manual_seed(0)
    centres = torch.tensor([[4.0, 0.0, 1.0], [-4.0, 1.0, 0.0]])
    factor = torch.tensor([[1.0, 0.5, 0.2]])
    noise = torch.randn(n, 1) @ factor + 0.3 * torch.randn(n, 3)
    return centres[torch.arange(n) % 2] + noise, torch.arange(n) % 2


SETTINGS = {"dims": 3, "components": 2, "ridge": 1e-6, "max_iterations": 200}


@pytest.mark.parametrize("kind", ["gmm", "mfa"])
def test_mixtures_find_two_clusters_and_their_draws_have_their_moments(kind):
    x, _ = two_clusters()
    mixture = GaussianMixtureEM(**SETTINGS) if kind == "gmm" else MixtureOfFactorAnalysers(factors=1, **SETTINGS)
    torch.manual_seed(1)
    mixture.initialise(x)
    before = GaussianMixtureEM(**SETTINGS)
    assert mixture(x).mean() > before(x).mean() + 5
    covariance = torch.tensor([[1.0, 0.5, 0.2]]).T @ torch.tensor([[1.0, 0.5, 0.2]]) + 0.09 * torch.eye(3)
    centres = torch.tensor([[4.0, 0.0, 1.0], [-4.0, 1.0, 0.0]])
    truth = [torch.distributions.MultivariateNormal(centre, covariance) for centre in centres]
    best = torch.stack([p.log_prob(x) for p in truth]).logsumexp(0) - torch.log(torch.tensor(2.0))
    assert 0 <= (mixture(x) - best).mean() < 0.05  # of the training data
    drawn = mixture.sample(20_000)
    torch.testing.assert_close(drawn.mean(0), x.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(x.T), atol=0.5, rtol=0)
    assert abs((drawn[:, 0] <= 1).double().mean() - mixture.cdf(torch.ones(1, 3))[0, 0]) < 0.01


def test_expectation_maximisation_of_factor_analysers_never_loses_likelihood():
    x, _ = two_clusters()
    values = []
    for iterations in (1, 2, 3, 5, 10, 40):
        mixture = MixtureOfFactorAnalysers(factors=1, **SETTINGS | {"max_iterations": iterations, "ridge": 0.0})
        torch.manual_seed(3)
        mixture.initialise(x)
        values.append(mixture(x).double().mean().item())
    assert all(after >= before - 1e-6 for before, after in pairwise(values))


def test_whitening_is_the_maximum_likelihood_gaussian_of_each_label(float64):
    x, y = two_clusters()
    x = x.double()
    labels = torch.nn.functional.one_hot(y, 2).double()
    whiten = Whiten(shape=(3,), context_dim=2, ridge=0.0)
    z = whiten.initialise(x, labels)
    for label in (0, 1):
        mine = x[y == label]
        truth = torch.distributions.MultivariateNormal(mine.mean(0), torch.cov(mine.T, correction=0))
        normal = -0.5 * (z[y == label] ** 2).sum(1) - 1.5 * torch.log(torch.tensor(2 * torch.pi))
        torch.testing.assert_close(normal + whiten(x, labels)[1][y == label], truth.log_prob(mine))
    torch.testing.assert_close(whiten.inverse(z, labels), x)


def test_what_cannot_be_fitted_is_refused_with_the_way_out():
    flat = torch.zeros(10, 2)
    with pytest.raises(ValueError, match=r"ridge=0.0: the covariance of 10 training examples .* is singular"):
        Whiten(shape=(2,), context_dim=0, ridge=0.0).initialise(flat, None)
    Whiten(shape=(2,), context_dim=0, ridge=1e-3).initialise(flat, None)
    with pytest.raises(ValueError, match="0 training examples of label 1"):
        Whiten(shape=(2,), context_dim=2, ridge=1.0).initialise(flat, torch.tensor([[1.0, 0.0]]).expand(10, 2))
    with pytest.raises(ValueError, match="conditional=true: this density has no form given labels"):
        Unchanged(shape=(2,), context_dim=3)
