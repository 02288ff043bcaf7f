import copy

import pytest
import torch

from genexp.families.training.adam_norm_grad import AdamNormGrad


def quadratic(parameters, scale):
    return scale * sum(
        ((p - i) ** 2 * torch.arange(1.0, p.numel() + 1).view_as(p)).sum() for i, p in enumerate(parameters)
    )


def start():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]


def steps(parameters, optimizer, n, scale=1.0):
    for _ in range(n):
        optimizer.zero_grad()
        quadratic(parameters, scale).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in parameters])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_as_in_the_authors_code(float64, weight_decay):
    """Written out: each gradient divided by its norm, decay added, two moments with correction of their bias."""
    parameters = start()
    found = steps(parameters, AdamNormGrad(parameters, lr=0.1, weight_decay=weight_decay), 5)
    reference = start()
    first, second = ([torch.zeros_like(p) for p in reference] for _ in range(2))
    for t in range(1, 6):
        gradients = torch.autograd.grad(quadratic(reference, 1.0), reference)
        with torch.no_grad():
            for p, g, m, v in zip(reference, gradients, first, second, strict=True):
                g = g / (g.norm() + 1e-7) + weight_decay * p
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g**2)
                rate = 0.1 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
                p -= rate * m / (v.sqrt() + 1e-8)
    assert torch.allclose(found, torch.cat([p.detach().flatten() for p in reference]), rtol=1e-12)


def test_the_size_of_the_loss_does_not_matter_step_by_step(float64):
    """Unlike in Adam, even if it changes from step to step."""
    results = {}
    for kind in (AdamNormGrad, torch.optim.Adam):
        for factor in (1.0, 100.0):
            parameters = start()
            optimizer = kind(parameters, lr=0.1)
            steps(parameters, optimizer, 1)
            results[kind, factor] = steps(parameters, optimizer, 1, factor)
    assert torch.allclose(results[AdamNormGrad, 1.0], results[AdamNormGrad, 100.0], rtol=1e-6)
    assert not torch.allclose(results[torch.optim.Adam, 1.0], results[torch.optim.Adam, 100.0], rtol=1e-3)


def test_a_closure_is_called_once_and_no_gradient_is_no_step(float64):
    parameters = start()
    again = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    idle = torch.nn.Parameter(torch.ones(2))
    zero = torch.nn.Parameter(torch.ones(2))
    optimizer, calls = AdamNormGrad([*parameters, idle, zero], lr=0.1), []

    def closure():
        optimizer.zero_grad()
        loss = quadratic(parameters, 1.0) + 0 * zero.sum()
        loss.backward()
        calls.append(loss)
        return loss

    assert optimizer.step(closure) is calls[0] and len(calls) == 1
    expected = steps(again, AdamNormGrad(again, lr=0.1), 1)
    assert torch.equal(torch.cat([p.detach().flatten() for p in parameters]), expected)
    assert torch.equal(idle, torch.ones(2)) and torch.equal(zero, torch.ones(2))


def test_a_resumed_state_goes_on_as_if_nothing_had_been(float64):
    whole = start()
    expected = steps(whole, AdamNormGrad(whole, lr=0.1), 6)
    parameters = start()
    optimizer = AdamNormGrad(parameters, lr=0.1)
    steps(parameters, optimizer, 3)
    other = AdamNormGrad(parameters, lr=1.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert torch.equal(steps(parameters, other, 3), expected)


@pytest.mark.parametrize("change", [{"lr": 0.0}, {"betas": (0.9, 1.0)}, {"weight_decay": -1.0}], ids=str)
def test_impossible_settings_are_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=f"{name}="):
        AdamNormGrad(start(), **{"lr": 0.1} | change)


def test_the_state_is_made_of_plain_containers(tmp_path):
    parameters = start()
    optimizer = AdamNormGrad(parameters, lr=0.1)
    steps(parameters, optimizer, 1)
    torch.save(optimizer.state_dict(), tmp_path / "x")
    other = AdamNormGrad(start(), lr=1.0)
    other.load_state_dict(torch.load(tmp_path / "x", weights_only=True))
    assert other.param_groups[0]["lr"] == 0.1 and other.state_dict()["state"][1]["step"] == 1
