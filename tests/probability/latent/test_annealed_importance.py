"""z ~ N(0, I), x = W z + noise: the evidence and the posterior are known, in float64."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from genexp.probability.latent.annealed_importance import AnnealedSampler, hamiltonian_step, sigmoid_schedule

LATENT, SIGMA = 3, 1.0


@pytest.fixture
def gaussian(float64):
    """Draws ``(z, x)`` of the model, log p(x) of them, and makes their sampler."""
    torch.manual_seed(0)
    matrix = torch.randn(5, LATENT)

    def make(n, steps, chains=1):
        z = torch.randn(n, LATENT)
        x = z @ matrix.T + SIGMA * torch.randn(n, 5)
        exact = MultivariateNormal(torch.zeros(5), matrix @ matrix.T + SIGMA**2 * torch.eye(5)).log_prob(x)
        sampler = AnnealedSampler(
            lambda z: Normal(0.0, 1.0).log_prob(z).sum(-1),
            lambda z: Normal(z @ matrix.T, SIGMA).log_prob(x).sum(-1),
            sigmoid_schedule(steps, 4.0),
            leapfrog_steps=3,
            track=lambda steps, what: steps,
        )
        sampler.tune(torch.randn(chains, n, LATENT), 0.5, 0.65, 0.1)
        return sampler, z, exact

    return make


def test_the_schedule_is_a_sigmoid_from_0_to_1():
    schedule = sigmoid_schedule(10, 4.0)
    assert schedule[0] == 0 and schedule[-1] == 1 and len(schedule) == 11
    assert schedule == sorted(schedule) and schedule[5] == pytest.approx(0.5)
    low, high = 1 / (1 + math.exp(4)), 1 / (1 + math.exp(-4))
    assert schedule[2] == pytest.approx((1 / (1 + math.exp(2.4)) - low) / (high - low))


def test_the_transition_leaves_its_target_as_it_is(float64):
    """Also where many proposals are refused."""
    torch.manual_seed(0)
    scale, n = torch.tensor([0.5, 1.0, 2.0]), 10_000
    target = Normal(torch.tensor([1.0, 0.0, -2.0]), scale)
    z = target.sample((n, 2))
    for _ in range(3):
        moved, accepted = hamiltonian_step(lambda z: target.log_prob(z).sum(-1), z, torch.tensor([0.3, 0.95]), 4)
        stayed = (moved == z).all(-1).double().mean(0)
        assert torch.allclose(stayed, 1 - accepted.mean(0), atol=0.02)
        z = moved
    assert accepted[:, 0].mean() > 0.9 > 0.85 > accepted[:, 1].mean()
    error = scale / n**0.5
    assert ((z.mean(0) - target.mean).abs() < 4.5 * error).all()
    assert ((z.std(0) - scale).abs() < 4.5 * error).all()


def test_a_proposal_out_of_all_bounds_is_refused(float64):
    z = torch.ones(2, 1, 3)
    moved, accepted = hamiltonian_step(lambda z: -(z**4).sum(-1), z, torch.full((1,), 1e3), 5)
    assert torch.equal(moved, z) and not accepted.any()


def test_the_evidence_is_between_forward_and_reverse_and_the_gap_shrinks(gaussian):
    gaps = []
    for steps in (5, 50):
        sampler, z, exact = gaussian(1000, steps)
        lower, accepted = sampler.forward(torch.randn(1, *z.shape))
        upper = sampler.reverse(z.unsqueeze(0))
        for below, above in ((lower, exact), (exact, upper)):
            gap = above - below
            assert gap.mean() > 4 * gap.std() / len(z) ** 0.5
        gaps.append((upper - lower).mean())
    assert gaps[1] < 0.3 * gaps[0]
    assert 0.5 < accepted.mean() < 0.85


def test_the_weights_have_no_bias(gaussian):
    """E[w] = p(x) forwards and E[w] = 1 / p(x) backwards, even with few temperatures."""
    sampler, z, exact = gaussian(2000, 25)
    ratios = (sampler.forward(torch.randn(1, *z.shape))[0] - exact).exp(), (exact - sampler.reverse(z[None])).exp()
    for ratio in ratios:
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / len(z) ** 0.5 < 0.2


def test_many_chains_find_the_evidence(gaussian):
    sampler, z, exact = gaussian(20, 50, chains=40)
    lower = sampler.forward(torch.randn(40, *z.shape))[0]
    upper = sampler.reverse(z.expand(40, *z.shape))
    assert (lower - exact).abs().mean() < 0.15 and (lower - exact).abs().max() < 0.6
    assert (lower - upper).abs().mean() < 0.5
