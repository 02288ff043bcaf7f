"""Flows of a posterior: Jacobians by autograd, densities by histogram and by change of variables, in float64."""

from functools import partial

import pytest
import torch
from torch.distributions import Normal

from genexp.networks.flow.stack import CouplingStack, MaskedAutoregressiveStack
from genexp.networks.latent.iaf_made import ContextMADE
from genexp.probability.latent.bijective import BijectivePosterior, BijectivePrior
from genexp.probability.latent.flow_posteriors import IAF, Planar, planar
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.transforms.sources import NormalSource
from genexp.probability.transforms.univariate import Affine, Spline

BASE = partial(DiagonalGaussian, log_std_range=None)
STEP = partial(ContextMADE, hidden=[16, 16], activation=torch.nn.Tanh(), mask_seed=None, initialisation=None)
FLOWS = {
    "planar": partial(Planar, base=BASE, depth=4, amortised=True),
    "shared-planar": partial(Planar, base=BASE, depth=4, amortised=False),
    "iaf": partial(IAF, base=BASE, depth=3, context_dim=5, step=STEP, gate_bias=1.0),
}
LAYERS = {"depth": 2, "hidden": [8], "activation": torch.nn.Tanh(), "linear": False, "order_seed": None}
MAPS = {
    "nsf": partial(MaskedAutoregressiveStack, univariate=partial(Spline, bins=4, bound=5.0, slope=1e-3), **LAYERS),
    "realnvp": partial(CouplingStack, univariate=partial(Affine, slope=1e-3), **LAYERS),
}
FLOWS |= {
    name: partial(BijectivePosterior, base=BASE, context_dim=3, transform=transform) for name, transform in MAPS.items()
}
every_flow = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)


def strong(make, dims, seed=0):
    """A flow whose parameters are large, and parameters for it."""
    torch.manual_seed(seed)
    flow = make(dims)
    with torch.no_grad():
        for parameter in flow.parameters():
            size = 1 if parameter.shape[-1] < 8 else 0.4
            parameter.normal_(0, 0.2 if isinstance(flow, BijectivePosterior) else size)
    return flow, torch.randn(1, flow.num_params)


@every_flow
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_the_determinant_is_that_of_the_jacobian(float64, make, dims):
    flow, params = strong(make, dims)
    log_std = params[0, dims : 2 * dims]
    for scale in (0.1, 1.0, 8.0):  # tails, too
        eps = scale * torch.randn(dims)
        log_q = flow(params, eps.view(1, 1, dims))[1]
        jacobian = torch.autograd.functional.jacobian(lambda e: flow(params, e.view(1, 1, dims))[0].flatten(), eps)
        expected = Normal(0.0, 1.0).log_prob(eps).sum() - torch.linalg.slogdet(jacobian).logabsdet
        assert torch.allclose(log_q.squeeze(), expected, rtol=1e-9)
        if scale == 0.1:  # the steps do something
            assert not torch.allclose(jacobian, torch.diag(log_std.exp()), atol=0.1)


@every_flow
def test_draws_have_the_density_that_is_claimed(float64, make):
    """In one dimension, where z rises or falls with eps: the mass of the density over a fine grid of eps, and the share of
    draws in bins."""
    flow, params = strong(make, 1, seed=1)
    eps = torch.linspace(-9, 9, 50_001).view(-1, 1, 1)
    with torch.no_grad():
        z, log_q = (part.flatten() for part in flow(params, eps))
        z, order = z.sort()
        cumulated = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(log_q[order].exp(), z)])
        assert cumulated[-1].item() == pytest.approx(1, abs=1e-4)
        drawn = flow(params, torch.randn(100_000, 1, 1))[0].flatten()
    edges = z[torch.searchsorted(cumulated, torch.linspace(0.05, 0.95, 10))]
    shares = (drawn[:, None] < edges).double().mean(0)
    assert torch.allclose(shares, torch.linspace(0.05, 0.95, 10), atol=0.008)


@every_flow
def test_the_density_integrates_to_one_in_two_dimensions(float64, make):
    """E_q[p(z) / q(z)] = 1 for a narrow p that q covers: fails if log q misses a factor anywhere."""
    flow, params = strong(make, 2, seed=2)
    n = 150_000
    with torch.no_grad():
        z, log_q = flow(params, torch.randn(n, 1, 2))
        centre, spread = z.flatten(0, 1).quantile(0.5, dim=0), 0.5 * z.flatten(0, 1).std(0)
        inside = ((z - centre).abs() < spread).all(-1).flatten()
        ratio = (-log_q.flatten()).exp() * inside / (2 * spread).prod()
    error = ratio.std() / n**0.5
    assert error < 0.03 and abs(ratio.mean() - 1) < 4 * error


@every_flow
def test_examples_and_draws_do_not_mix(float64, make):
    flow, _ = strong(make, 3)
    params, eps = torch.randn(4, flow.num_params), torch.randn(2, 4, 3)
    z, log_q = flow(params, eps)
    assert z.shape == (2, 4, 3) and log_q.shape == (2, 4)
    for k, b in ((0, 1), (1, 3)):
        alone, log_alone = flow(params[b : b + 1], eps[k : k + 1, b : b + 1])
        assert torch.allclose(alone[0, 0], z[k, b]) and torch.allclose(log_alone[0, 0], log_q[k, b])
    assert torch.equal(flow.mean(params), flow(params, torch.zeros(1, 4, 3))[0][0]) and flow.rates(params) is None


@pytest.mark.parametrize("product", [-1e4, -50.0, -1.0, 0.0, 1.0, 1e4])
def test_a_planar_step_is_invertible_for_any_parameters(float64, product):
    """z rises along w, and its slope is the determinant."""
    torch.manual_seed(0)
    w = torch.randn(1, 3)
    u = product * w / (w**2).sum() + torch.linalg.cross(w, torch.randn(1, 3))
    along = torch.linspace(-6, 6, 24_001)
    z = (along[:, None] * w / (w**2).sum()).unsqueeze(1)
    b = torch.full((1, 1), 0.3)
    after, log_det = planar(u, w, b, z)
    after = (after[:, 0] * w).sum(1)
    slope = after.diff() / along.diff()
    assert (after.diff() > 0).all() and torch.isfinite(log_det).all()
    middle = log_det.flatten().exp()
    assert torch.allclose(slope, (middle[1:] + middle[:-1]) / 2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-3])
def test_a_planar_step_survives_a_direction_of_nearly_nothing(float64, size):
    u, z = torch.randn(1, 3), torch.randn(3, requires_grad=True)
    w = torch.full((1, 3), size, requires_grad=True)
    after, log_det = planar(u, w, torch.full((1, 1), 0.2), z.view(1, 1, 3))
    jacobian = torch.stack([torch.autograd.grad(out, z, retain_graph=True)[0] for out in after.flatten()])
    assert torch.allclose(log_det.squeeze(), torch.linalg.slogdet(jacobian).logabsdet)
    (after.sum() + log_det.sum()).backward()
    assert torch.isfinite(w.grad).all()


def test_extreme_gates_keep_a_finite_determinant():
    """log sigmoid(s), where the sigmoid itself is 0 or 1 in float32."""

    class Constant(torch.nn.Module):
        def forward(self, z, context):
            return torch.stack([torch.ones_like(z), context.expand_as(z)], dim=-2)

    flow = IAF(2, BASE, depth=1, context_dim=1, step=lambda **sizes: Constant(), gate_bias=0.0)
    for s, expected in ((-300.0, -600.0), (300.0, 0.0)):
        context = torch.full((1, 1), s, requires_grad=True)
        z, log_det = flow.step(0, context, torch.full((1, 1, 2), 3.0))
        assert log_det.item() == expected and z.flatten().tolist() == ([1.0, 1.0] if s < 0 else [3.0, 3.0])
        log_det.sum().backward()
        assert context.grad.item() == (2.0 if s < 0 else 0.0)


def test_the_order_is_reversed_between_steps(float64):
    """One step is triangular; of two, the first dimension after the second depends on all."""
    flow, params = strong(partial(FLOWS["iaf"], depth=2), 5)
    z = torch.randn(1, 1, 5)
    for t, expected in ((0, torch.ones(5, 5).tril()), (1, torch.ones(5, 5).tril().flip(1))):
        jacobian = torch.autograd.functional.jacobian(lambda v, t=t: flow.step(t, params[:, 10:], v)[0].flatten(), z)
        assert torch.equal(jacobian.view(5, 5) != 0, expected.bool())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(FLOWS["planar"], depth=0), "depth=0"),
        (partial(FLOWS["iaf"], depth=0), "depth=0"),
        (partial(FLOWS["iaf"], context_dim=0), "context_dim=0"),
        (partial(FLOWS["iaf"], step=partial(STEP, hidden=[])), "at least one hidden layer"),
    ],
    ids=["planar", "iaf", "context", "hidden"],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(2)


@pytest.mark.parametrize("transform", MAPS.values(), ids=MAPS)
def test_a_prior_by_a_bijection_integrates_to_one_and_its_draws_follow_it(float64, transform):
    torch.manual_seed(0)
    prior = BijectivePrior(transform=transform, source=NormalSource, latent_dim=2, shape=(1, 4, 4), posterior_of=None)
    for parameter in prior.parameters():
        parameter.data.normal_(0, 0.5)
    with torch.no_grad():
        drawn = prior.sample(4_000, like=torch.zeros(1))
        line = torch.linspace(-8, 8, 161)
        grid = torch.cartesian_prod(line, line) * drawn.std(0) + drawn.mean(0)
        mass = prior.log_prob(grid).exp() * 0.1**2 * drawn.std(0).prod()
        assert abs(mass.sum().item() - 1) < 1e-2
        torch.testing.assert_close((mass[:, None] * grid).sum(0), drawn.mean(0), atol=0.1, rtol=0)
        z = drawn[:12].view(3, 4, 2)
        torch.testing.assert_close(prior(z).flatten(), prior.log_prob(drawn[:12]))
