"""Gradient penalties in closed form on discriminators whose gradient is known, and their own gradients by finite differences."""

import pytest
import torch
from torch import nn

from genexp.probability.adversarial.gradient_penalty import R1, R2, Interpolated, Perturbed

REAL = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]], dtype=torch.float64)
FAKE = torch.tensor([[-1.0, -1.0], [2.0, 2.0], [0.5, 0.5]], dtype=torch.float64)


def uniform(n, *shape):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


def half(n, *shape):
    return torch.full((n, *shape), 0.5, dtype=torch.float64)


def quadratic(x):
    """Its gradient at x is x."""
    return x.square().sum(1) / 2


def interpolated(**changes):
    return Interpolated(**{"weight": 10.0, "target": 1.0, "one_sided": False, "every": 1} | changes)


def perturbed(scale=0.5):
    return Perturbed(scale=scale, weight=10.0, target=1.0, one_sided=False, every=1)


def test_r1_and_r2_by_hand():
    assert R1(gamma=3.0, every=1)(quadratic, REAL, FAKE, uniform).tolist() == pytest.approx(
        (1.5 * REAL.square().sum(1)).tolist()
    )
    assert R2(gamma=3.0, every=1)(quadratic, REAL, FAKE, uniform).tolist() == pytest.approx(
        (1.5 * FAKE.square().sum(1)).tolist()
    )


def test_the_wgan_penalty_by_hand():
    middle = (REAL + FAKE) / 2
    expected = 10 * (middle.norm(dim=1) - 1) ** 2
    assert interpolated()(quadratic, REAL, FAKE, half).tolist() == pytest.approx(expected.tolist())
    one_sided = 10 * (middle.norm(dim=1) - 1).relu() ** 2
    assert (middle.norm(dim=1) < 1).any() and (middle.norm(dim=1) > 1).any()
    found = interpolated(one_sided=True)(quadratic, REAL, FAKE, half)
    assert found.tolist() == pytest.approx(one_sided.tolist())


def test_each_pair_has_a_point_of_its_own_between_its_two():
    points = interpolated().points(REAL, FAKE, uniform)
    u = ((points - FAKE) / (REAL - FAKE + 1e-300))[:2]
    assert torch.allclose(u[:, 0], u[:, 1]) and ((u >= 0) & (u < 1)).all() and u[0, 0] != u[1, 0]


def test_dragan_perturbs_each_dimension_by_the_spread_of_the_data():
    points = perturbed().points(REAL, FAKE, half)
    assert torch.allclose(points, REAL + 0.5 * (0.5 * REAL.std(correction=0) * 0.5))


def test_dragan_is_between_each_example_and_a_perturbed_copy_of_its_own():
    """alpha is one number for an example, u one for every dimension."""
    given = {(3, 2): torch.tensor([[0.25, 0.5], [1.0, 0.0], [0.5, 0.5]]), (3, 1): torch.tensor([[0.0], [0.5], [1.0]])}
    points = perturbed().points(REAL, FAKE, lambda n, *shape: given[n, *shape])
    moved = 0.5 * REAL.std(correction=0)
    assert torch.allclose(points - REAL, moved * torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5]], dtype=REAL.dtype))


def test_a_discriminator_of_slope_one_costs_nothing():
    slope = torch.tensor([0.6, 0.8], dtype=torch.float64)
    for penalty in (interpolated(), perturbed()):
        assert penalty(lambda x: x @ slope, REAL, FAKE, uniform).tolist() == pytest.approx([0] * 3, abs=1e-9)


@pytest.mark.parametrize("penalty", [R1(gamma=2.0, every=1), R2(gamma=2.0, every=1), interpolated(), perturbed()])
def test_its_gradient_by_finite_differences(float64, penalty):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def total():
        return penalty(lambda x: network(x).squeeze(1), REAL, FAKE, uniform).mean()

    weights = [network[0].weight, network[0].bias, network[2].weight]
    gradients = torch.autograd.grad(total(), weights)
    for parameter, gradient in zip(weights, gradients, strict=True):
        for index in range(parameter.numel()):
            values = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter.view(-1)[index] += step
                values.append(total().item())
                with torch.no_grad():
                    parameter.view(-1)[index] -= step
            assert gradient.flatten()[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_a_flat_discriminator_has_a_finite_gradient(float64):
    """The root in the norm has none at 0."""
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.zero_()
    interpolated()(lambda x: network(x).squeeze(1), REAL, FAKE, uniform).mean().backward()
    assert torch.isfinite(network.weight.grad).all()


def test_lazy_penalties_weigh_as_much_in_the_mean():
    assert torch.equal(R1(gamma=1.0, every=4)(quadratic, REAL, FAKE, uniform), 2 * REAL.square().sum(1))


def test_they_work_where_gradients_are_off_and_leave_the_inputs_alone():
    with torch.no_grad():
        value = R1(gamma=1.0, every=1)(quadratic, REAL, FAKE, uniform)
    assert value.shape == (3,) and not REAL.requires_grad


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: R1(gamma=0.0, every=1), "gamma=0.0: must be positive"),
        (lambda: interpolated(weight=-1.0), "weight=-1.0: must be positive"),
        (lambda: interpolated(target=-1.0), "target=-1.0: must be at least 0"),
        (lambda: interpolated(every=0), "every=0: must be at least 1"),
        (lambda: perturbed(0.0), "scale=0.0: must be positive"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
