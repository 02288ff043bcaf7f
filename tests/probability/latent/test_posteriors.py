"""Posteriors against torch.distributions, quadrature and Monte Carlo, in float64."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, kl_divergence
from torch.distributions import Normal as Reference

from genexp.probability.latent.posteriors import DiagonalGaussian, FullCovariance, SoftplusGaussian

DIMS, BATCH = 4, 3
DENSITIES = {
    "diagonal": partial(DiagonalGaussian, log_std_range=None),
    "softplus": partial(SoftplusGaussian, log_std_range=None),
    "full": partial(FullCovariance, log_diagonal_range=None),
}
every_density = pytest.mark.parametrize("make", DENSITIES.values(), ids=DENSITIES)


def reference(posterior, params):
    """The same distributions by torch."""
    if isinstance(posterior, FullCovariance):
        mean, factor, _ = posterior.split(params)
        return MultivariateNormal(mean, scale_tril=factor)
    mean, log_std = posterior.split(params)
    return Independent(Reference(mean, log_std.exp()), 1)


@every_density
def test_densities_are_those_of_torch(float64, make):
    posterior = make(DIMS)
    torch.manual_seed(0)
    params, z = torch.randn(BATCH, posterior.num_params), 2 * torch.randn(5, BATCH, DIMS)
    expected = reference(posterior, params)
    assert torch.allclose(posterior.log_prob(params, z), expected.log_prob(z))
    pairs = posterior.pairwise_log_prob(params, z[:, 0])
    assert torch.allclose(pairs, expected.log_prob(z[:, 0].unsqueeze(1)))
    drawn, log_q = posterior(params, torch.randn(7, BATCH, DIMS))
    assert torch.allclose(log_q, expected.log_prob(drawn)) and torch.equal(posterior.mean(params), expected.mean)


@every_density
def test_draws_have_the_moments_and_the_rate_is_the_divergence(float64, make):
    posterior, n = make(DIMS), 100_000
    torch.manual_seed(0)
    params = torch.randn(1, posterior.num_params)
    z, log_q = posterior(params, torch.randn(n, 1, DIMS))
    expected = reference(posterior, params)
    covariance = getattr(expected, "covariance_matrix", torch.diag_embed(expected.variance))[0]
    assert torch.allclose(z[:, 0].mean(0), expected.mean[0], atol=0.05)
    assert torch.allclose(z[:, 0].T.cov(), covariance, rtol=0.05, atol=0.05 * covariance.diagonal().max())
    prior = MultivariateNormal(torch.zeros(DIMS), torch.eye(DIMS))
    difference = (log_q - prior.log_prob(z))[:, 0]
    assert abs(difference.mean() - posterior.rate(params)) < 4 * difference.std() / n**0.5
    if isinstance(posterior, FullCovariance):
        assert torch.allclose(posterior.rate(params), kl_divergence(expected, prior))
        assert posterior.rates(params) is None  # no sum over dimensions
    else:
        assert torch.allclose(posterior.rates(params).sum(1), posterior.rate(params))


def test_a_few_at_a_time_are_as_all_at_once(float64, monkeypatch):
    posterior = FullCovariance(DIMS, log_diagonal_range=None)
    params, z = torch.randn(11, posterior.num_params), torch.randn(6, DIMS)
    whole = posterior.pairwise_log_prob(params, z)
    sizes = []
    log_prob = posterior.log_prob
    monkeypatch.setattr(posterior, "block", 3 * z.numel())
    monkeypatch.setattr(posterior, "log_prob", lambda some, at: sizes.append(len(some)) or log_prob(some, at))
    assert torch.allclose(posterior.pairwise_log_prob(params, z), whole) and sizes == [3, 3, 3, 2]


def test_softplus_neither_underflows_nor_overflows():
    posterior = SoftplusGaussian(5, log_std_range=None)
    s = torch.tensor([[-200.0, -25.0, -19.0, 0.0, 300.0]], requires_grad=True)
    log_std = posterior.split(torch.cat([torch.zeros(1, 5), s], dim=1))[1]
    exact = torch.log(torch.log1p(torch.exp(s.detach().double()[:, 1:4])))
    assert torch.allclose(log_std[:, 1:4].double(), exact, rtol=1e-6)
    assert log_std[0, 0] == -200 and log_std[0, 4].item() == pytest.approx(math.log(300))
    log_std.sum().backward()
    assert torch.allclose(s.grad[0, [0, 1, 4]], torch.tensor([1, 1, 1 / 300]), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "name"), [(DiagonalGaussian, "log_std_range"), (FullCovariance, "log_diagonal_range")], ids=str
)
def test_ranges_cut_off_and_must_rise(make, name):
    posterior = make(1, **{name: (-1.0, 2.0)})
    params = torch.tensor([[0.0, -5.0], [0.0, 0.5], [0.0, 9.0]])
    assert posterior.split(params)[-1].flatten().tolist() == [-1.0, 0.5, 2.0]
    with pytest.raises(ValueError, match=rf"{name}=\[2, -1\]: must rise"):
        make(1, **{name: (2, -1)})
    with pytest.raises(ValueError, match="latent_dim=0"):
        make(0, **{name: None})
