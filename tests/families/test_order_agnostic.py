"""Every order is a normalised density, and the objective is the mean over all orders."""

import itertools
import math

import pytest
import torch
from masked_models import LEVELS, Plain, by_hand, make, normal

from genexp.metrics.likelihood import ExactNLL
from genexp.networks.autoregressive.masked_mlp import MaskedMLP
from genexp.probability.observation.base import Categorical
from genexp.probability.randomness import StepDraws
from genexp.record.instantiate import instantiate


def mean_over_orders(model, x):
    """The mean over all orders of -log p(x | order): ``(B,)``."""
    return -torch.stack([by_hand(model, x, p) for p in itertools.permutations(range(model.dims))]).mean(0)


# --- the objective ------------------------------------------------------------------------------------


def subsets(dims):
    """Every set of given dimensions but the whole, with its probability for a uniform number of a uniform choice."""
    for t in range(dims):
        for chosen in itertools.combinations(range(dims), t):
            given = torch.zeros(dims, dtype=torch.bool)
            given[list(chosen)] = True
            yield given, 1 / (dims * math.comb(dims, t))


@pytest.mark.parametrize("dims", [1, 3, 4])
def test_the_objective_is_the_mean_over_all_orders_in_expectation(float64, all_examples, dims):
    model, x = make(shape=(dims,)), all_examples((dims,), LEVELS)
    expected = mean_over_orders(model, x)
    found = sum(p * model.estimate(x, given.expand(len(x), -1), None) for given, p in subsets(dims))
    assert torch.allclose(found, expected, rtol=1e-12) and found.std() > 0.1


def test_given_is_a_uniform_number_of_uniformly_chosen_dimensions(float64):
    model, n, dims = make(shape=(4,)), 100_000, 4
    pair = model._around_a_place(n)
    assert not (pair[0] & pair[1]).any() and ((pair[0] | pair[1]).sum(1) == dims - 1).all()
    for given in pair:
        count = 0
        for subset, p in subsets(dims):
            share = (given == subset).all(1).double().mean()
            assert abs(share - p) < 5 * (p * (1 - p) / n) ** 0.5
            count += share
        assert count == pytest.approx(1)


@pytest.mark.parametrize("training, pairs", [(True, 1), (False, 1), (False, 3)])
def test_the_loss_is_an_unbiased_estimate(float64, training, pairs):
    model = make(shape=(4,), validation_pairs=pairs).train(training)
    x = torch.tensor([[0, 2, 1, 1]], dtype=torch.uint8)
    losses = model.loss(x.expand(20_000, -1))["loss"].detach()
    assert losses.std() > 0.01
    assert abs(losses.mean() - mean_over_orders(model, x)) < 5 * losses.std() / len(losses) ** 0.5


@pytest.mark.parametrize("training", [True, False])
def test_parts_of_a_batch_have_the_draws_of_the_whole(training):
    """Whether one process has the batch, two have half of it each, or one has the halves after another."""
    model = make(validation_pairs=2).train(training)
    x = torch.randint(LEVELS, (12, 2, 3)).to(torch.uint8)

    def loss(part, **place):
        model.context.draws = StepDraws(0, "step", "draws", 5, **place)
        return model.loss(part)["loss"].detach()

    whole = loss(x, rank=0, world=1)
    assert torch.equal(whole, loss(x, rank=0, world=1)) and len(whole.unique()) == 12
    assert torch.allclose(loss(x[:6], rank=0, world=1), whole[:6])
    assert torch.allclose(loss(x[6:], rank=0, world=1, before=6), whole[6:])
    for rank in (0, 1):
        assert torch.allclose(loss(x[rank::2], rank=rank, world=2), whole[rank::2])
    assert not torch.allclose(loss(x[6:], rank=0, world=1), whole[6:])


def test_a_conditional_sees_all_that_is_given_and_nothing_else(float64):
    """By the gradient: allowed is exactly what is given, of the same example. A 0 that is given is not one that is missing."""
    model = make(shape=(5,), levels=None, observation=normal)
    x = torch.randn(2, 5, requires_grad=True)
    given = torch.tensor([[True, False, True, True, False], [False, True, False, False, False]])
    seen = []
    model.network.register_forward_hook(lambda module, inputs, params: seen.append((inputs, params)))
    model.estimate(x, given, None)
    (inputs, mask, _), params = seen[0]
    assert not inputs[~given].any() and torch.equal(mask, given.double())
    for b in range(2):
        for p, d in itertools.product(range(2), range(5)):
            (gradient,) = torch.autograd.grad(params[b, p, d], x, retain_graph=True)
            assert torch.equal(gradient[b] != 0, given[b]) and not gradient[1 - b].any()
    zero = torch.zeros(1, 5)
    assert not torch.allclose(model.network(zero, zero), model.network(zero, zero + 1))


# --- the likelihood -----------------------------------------------------------------------------------


@pytest.mark.parametrize("network, hidden", [(MaskedMLP, [16]), (MaskedMLP, [16, 12, 9]), (Plain, [16])])
@pytest.mark.parametrize("num_classes", [None, 2])
def test_every_order_and_their_mixture_sum_to_one(float64, all_examples, network, hidden, num_classes):
    shape = (2, 2)
    model, x = make(shape, num_classes, network=network, hidden=hidden, ensemble=3), all_examples(shape, LEVELS)
    values = []
    for y in range(num_classes or 1):
        y = torch.full((len(x),), y) if num_classes else None
        orders = torch.stack([model.order_log_prob(x, y, order) for order in range(3)])
        assert torch.allclose(orders.logsumexp(1), torch.zeros(3), atol=1e-12)
        assert (orders[0] - orders[1]).abs().max() > 0.1 and orders.std(1).min() > 0.1
        values.append(model.log_prob(x, y))
        assert torch.allclose(values[-1], orders.exp().mean(0).log(), rtol=1e-12)
        for order in range(3):
            assert torch.allclose(orders[order], by_hand(model, x, model.permutation(order).tolist(), y), rtol=1e-10)
    assert len(values) == 1 or not torch.allclose(*values)


def test_orders_depend_on_their_number_and_seed_alone():
    model, other = make(shape=(20,)), make(shape=(20,), order_seed=1)
    orders = [m.permutation(k).tolist() for m in (model, other) for k in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders) and len(set(map(tuple, orders))) == 6
    torch.manual_seed(7)
    assert orders[:3] == [make(shape=(20,), hidden=[3]).permutation(k).tolist() for k in range(3)]


@pytest.mark.parametrize("chunk", [1, 4, 10])
def test_chunks_limit_what_goes_through_the_network_and_change_nothing(float64, monkeypatch, chunk):
    model = make(num_classes=3, ensemble=2)
    x, y = torch.randint(LEVELS, (10, 2, 3)).to(torch.uint8), torch.arange(10) % 3
    whole, sizes = model.log_prob(x, y), []
    model.chunk = chunk
    sampler = model.network.sampler
    monkeypatch.setattr(model.network, "sampler", lambda x, *rest: (sizes.append(len(x)), sampler(x, *rest))[1])
    assert torch.allclose(model.log_prob(x, y), whole, rtol=1e-12)
    assert max(sizes) == chunk and sum(sizes) == 20


# --- the rest -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"ensemble": 0}, {"validation_pairs": 0}, {"chunk": -1}], ids=str)
def test_impossible_numbers_are_refused(change):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=f"^{name}={value}: must be at least 1"):
        make(**change)


def test_parts_that_do_not_fit_are_refused():
    def joined(levels):
        observation = Categorical(levels)
        observation.group = 3
        return observation

    with pytest.raises(ValueError, match="Categorical joins 3 channels"):
        make(observation=joined)
    with pytest.raises(ValueError, match=r"hidden=\[\]: MaskedMLP needs at least one"):
        make(hidden=[])


def test_half_precision_is_near(float64):
    torch.set_default_dtype(torch.float32)
    model, x = make(), torch.randint(LEVELS, (5, 2, 3)).to(torch.uint8)
    given = torch.tensor([[True, False, True, False, False, True]]).expand(5, -1)
    exact, likelihood = model.estimate(x, given, None), model.log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.estimate(x, given, None)
        assert torch.allclose(model.log_prob(x), likelihood, rtol=0.05)
    assert half.dtype == torch.float32 and torch.allclose(half, exact, rtol=0.05) and not torch.equal(half, exact)


def test_a_uniform_model_scores_log2_levels_bits_per_dim(compose_train):
    """Through the configs, real data and the metric."""
    config = compose_train("model=eonade", "data=digits", "model.ensemble=2")
    model, data = (instantiate(config, name, []) for name in ("model", "data"))
    with torch.no_grad():
        for parameter in model.network.mlp.layers[-1].parameters():
            parameter.zero_()
    nats, bpd = ExactNLL().compute(model, data, "test", seed=0)
    assert nats.value == pytest.approx(64 * math.log(17), rel=1e-6)
    assert bpd.value == pytest.approx(math.log2(17), rel=1e-6) and bpd.n == 250
