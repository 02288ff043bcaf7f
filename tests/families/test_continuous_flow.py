"""Continuous flows, and the solver under them."""

from functools import partial
from math import log, log2, pi

import pytest
import torch
from torch import nn

from genexp.families.continuous_flow import ContinuousFlow
from genexp.networks.flow.velocity import VelocityMLP
from genexp.probability.dynamics.ode import runge_kutta, velocity_and_divergence
from genexp.probability.transforms.sources import NormalSource

pytestmark = pytest.mark.usefixtures("float64")


def test_the_solver_is_of_fourth_order_in_both_directions():
    matrix = torch.tensor([[0.3, -1.2], [0.7, -0.4]])
    x = torch.tensor([[1.0, 2.0]])
    for start, end in ((0.0, 1.0), (1.0, 0.0)):
        truth = x @ torch.linalg.matrix_exp(matrix * (end - start)).t()
        errors = [
            (runge_kutta(lambda s, t: (s[0] @ matrix.t(),), (x,), start, end, n)[0] - truth).norm() for n in (5, 10)
        ]
        assert log2(errors[0] / errors[1]) > 3.7


def test_the_divergence_is_the_trace_and_its_estimate_has_no_bias():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))
    x = torch.randn(4, 3)
    t = torch.zeros(4)
    v, exact = velocity_and_divergence(lambda x, t: network(x), x, t, None, create_graph=False)
    torch.testing.assert_close(v, network(x))
    for row, value in zip(x, exact, strict=True):
        jacobian = torch.autograd.functional.jacobian(network, row)
        torch.testing.assert_close(value, jacobian.trace())
    probes = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)  # all of them: their mean is the expectation
    found = [
        velocity_and_divergence(lambda x, t: network(x), x, t, p.expand_as(x), create_graph=False)[1] for p in probes
    ]
    torch.testing.assert_close(torch.stack(found).mean(0), exact)


def flow(dims, **changes):
    settings = {"steps": 20, "standardise": True, "initial_examples": None, "conditional": False, "num_classes": None}
    settings["network"] = partial(VelocityMLP, hidden=[16], activation=nn.Softplus(), frequencies=2)
    made = ContinuousFlow(shape=(dims,), levels=None, source=NormalSource, hutchinson=False, **settings | changes)
    torch.manual_seed(0)
    for p in made.parameters():
        p.data.normal_(0, 0.6)
    return made


def test_its_density_integrates_to_one_and_draws_go_back_to_the_noise_they_come_from():
    model = flow(1)
    model.initialise(torch.randn(50, 1) * 3 + 2, None)
    x = torch.linspace(-60, 60, 6_001)
    with torch.no_grad():
        total = torch.trapezoid(model.log_prob_estimate(x[:, None]).exp(), x)
        assert abs(total.item() - 1) < 1e-3
        z = torch.randn(5, 1)
        drawn = model.decode(z, steps=40)
        back = runge_kutta(
            lambda s, t: (model.velocity(s[0], s[0].new_full((5,), t)),), (model.standardise(drawn)[0],), 1.0, 0.0, 40
        )
        torch.testing.assert_close(back[0], z, atol=1e-5, rtol=0)


def test_a_linear_velocity_gives_the_gaussian_in_closed_form():
    class Linear(nn.Module):
        def forward(self, x, t, y=None):
            return x * 0.7 + 0.2

    model = flow(2, network=lambda shape, num_classes: Linear(), standardise=False)
    sd = torch.tensor(0.7).exp()
    mean = 0.2 / 0.7 * (sd - 1)
    x = torch.randn(6, 2)
    truth = (-0.5 * ((x - mean) / sd) ** 2 - sd.log() - 0.5 * log(2 * pi)).sum(1)
    torch.testing.assert_close(model.log_prob_estimate(x, steps=20), truth, atol=1e-6, rtol=0)


def test_the_estimate_of_an_example_does_not_depend_on_its_batch_and_trains():
    model = flow(2)
    x = torch.randn(6, 2)
    torch.testing.assert_close(model.log_prob_estimate(x)[2:4], model.log_prob_estimate(x[2:4]))
    model.loss(x)["loss"].sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    with pytest.raises(ValueError, match="steps=0"):
        model.log_prob_estimate(x, steps=0)
