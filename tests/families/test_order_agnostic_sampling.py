"""The sampler draws from what the likelihood is of, and completes any part; the fast one is the naive one."""

import pytest
import torch
from masked_models import LEVELS, by_hand, labels, make, normal

from genexp.probability.observation.base import Categorical


@pytest.mark.parametrize("hidden", [[500], [100, 100]], ids=str)
def test_the_incremental_sampler_stays_precise_over_many_steps(hidden):
    """In float32, relative to logits of size 1."""
    model = make(shape=(784,), levels=2, hidden=hidden)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(0.1)
        x, nothing = torch.randint(2, (4, 784)).float(), torch.zeros(784, dtype=torch.bool)
        fast, full = (make_(x, nothing, None) for make_ in (model.network.sampler, model.network.full_sampler))
        for t, d in enumerate(torch.randperm(784).tolist()):
            if t % 60 == 0 or t > 780:
                a, b = fast.params(d), full.params(d)
                assert (a - b).abs().max() < 1e-5 * max(1, b.abs().max())
            for sampler in (fast, full):
                sampler.give(d, x[:, d])


def run(model, act):
    """``act(model)`` under one seed: what it returns, the parameters that it drew from and the log-probability of the draws."""
    draw, seen, log_p = model.observation.sample, [], 0

    def sample(params, temperature):
        nonlocal log_p
        x = draw(params, temperature)
        seen.append(params)
        log_p = log_p + model.observation.log_prob(params, x)
        return x

    model.observation.sample = sample
    torch.manual_seed(3)
    x = act(model)
    model.observation.sample = draw
    return x, seen, log_p


@pytest.mark.parametrize("hidden", [[16], [16, 12]], ids=str)
@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("levels, observation", [(LEVELS, Categorical), (None, normal)])
def test_the_incremental_sampler_is_the_naive_one(float64, hidden, num_classes, levels, observation):
    model, n = make((2, 3), num_classes, observation, levels, hidden=hidden), 30
    y = labels(model, n)
    x, steps, log_p = run(model, lambda m: m.sample(n, y))
    again, reference, _ = run(model, lambda m: m.sample(n, y, incremental=False))
    assert len(steps) == len(reference) == 6 and len(x.unique()) > 2
    assert torch.equal(x, again) if levels else torch.allclose(x, again, rtol=1e-10)
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(steps, reference, strict=True))
    assert torch.allclose(model.log_prob(x, y), log_p, rtol=1e-10)

    given = torch.tensor([[True, False, False], [True, False, True]])
    x2, steps, _ = run(model, lambda m: m.complete(x, given, y))
    again, reference, _ = run(model, lambda m: m.complete(x, given, y, incremental=False))
    assert len(steps) == len(reference) == 3
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(steps, reference, strict=True))
    assert torch.allclose(x2.double(), again.double(), rtol=1e-10)
    assert torch.equal(x2[:, given], x[:, given]) and not torch.equal(x2, x) and x2.dtype == x.dtype


def shares(x):
    """How often each example of the space occurs."""
    codes = (x.flatten(1).long() * LEVELS ** torch.arange(x[0].numel()).flip(0)).sum(1)
    return torch.bincount(codes, minlength=LEVELS ** x[0].numel()) / len(x)


def assert_follow(found, expected, n):
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt() + 1e-4).all()


@pytest.mark.parametrize("num_classes", [None, 2])
def test_samples_of_an_ensemble_follow_its_mixture(float64, all_examples, num_classes):
    model, n = make((3,), num_classes, ensemble=3), 40_000
    x, y = all_examples((3,), LEVELS), None if num_classes is None else 1
    expected = model.log_prob(x, None if y is None else torch.full((len(x),), y)).exp()
    torch.manual_seed(1)
    assert_follow(shares(model.sample(n, y)), expected, n)


@pytest.mark.parametrize("given", [[1], [0, 2], [2], []], ids=str)
def test_a_completion_follows_the_conditional_of_its_order_whatever_is_given(float64, all_examples, given):
    """Of the order that begins with what is given: also of what its own order has last."""
    model, n, space = make(shape=(3,)), 40_000, all_examples((3,), LEVELS)
    missing = [d for d in model.permutation(0).tolist() if d not in given]
    x = torch.tensor([2, 0, 1], dtype=torch.uint8)
    fits = (space[:, given] == x[given]).all(1)
    joint = by_hand(model, space, [*given, *missing]).exp() * fits
    mask = torch.zeros(3, dtype=torch.bool)
    mask[given] = True
    torch.manual_seed(1)
    assert_follow(shares(model.complete(x.expand(n, -1), mask)), joint / joint.sum(), n)


def test_a_completion_keeps_what_is_given():
    model, x = make(ensemble=3), torch.randint(LEVELS, (20, 2, 3)).to(torch.uint8)
    before = x.clone()
    assert torch.equal(model.complete(x, torch.ones(2, 3).bool()), x)
    given = torch.tensor([[True, False, True], [False, False, True]])
    torch.manual_seed(1)
    y = model.train().complete(x, given)
    assert torch.equal(y[:, given], x[:, given]) and torch.equal(x, before) and model.training
    x[:, ~given] = 0  # what is missing has no influence
    torch.manual_seed(1)
    assert torch.equal(model.complete(x, given), y)
    for wrong in (given[0], given.int()):
        with pytest.raises(ValueError, match=r"must be bool \(2, 3\)"):
            model.complete(x, wrong)
    with pytest.raises(ValueError, match="labels y are needed"):
        make(num_classes=2).complete(x, given)


def test_labels_reach_samples_and_completions():
    model, x = make(num_classes=2), torch.zeros(400, 2, 3, dtype=torch.uint8)
    given = torch.tensor([[True, False, False], [False, False, False]])
    for act in (lambda y: model.sample(400, y), lambda y: model.complete(x, given, torch.full((400,), y))):
        means = [act(y).double().mean(0) for y in (0, 1)]
        assert (means[0] - means[1]).abs().max() > 0.2


def test_long_sampling_is_tracked():
    model, seen = make(), []
    model.context.track = lambda steps, what: (seen.append((len(steps), what)), steps)[1]
    model.sample(2)
    model.complete(torch.zeros(2, 2, 3, dtype=torch.uint8), torch.eye(3)[:2].bool())
    assert seen == [(6, "sampling"), (4, "sampling")]


def test_the_network_is_told_the_levels():
    assert make().network.levels == LEVELS
    assert make(levels=None, observation=normal).network.levels is None


def test_temperature_sharpens_and_must_be_positive():
    model = make()
    cold, warm = (model.sample(200, temperature=t) for t in (1e-4, 1.0))
    assert len(cold.flatten(1).unique(dim=0)) < len(warm.flatten(1).unique(dim=0))
    with pytest.raises(ValueError, match="temperature=0"):
        model.sample(2, temperature=0)
