"""The incremental sampler of MADE, over every kind of network."""

import pytest
import torch
from checks import check_sampler, model_of

from genexp.probability.observation.base import Bernoulli, DiscretizedLogisticMixture, Normal


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("hidden", [[1], [40], [9, 30], [30, 4, 30]], ids=str)
@pytest.mark.parametrize("random_order", [False, True])
def test_it_equals_whole_forward_passes(make_made, hidden, direct, random_order, num_classes):
    network = {"hidden": hidden, "direct": direct, "random_order": random_order}
    check_sampler(model_of(make_made, (2, 5), 4, num_classes, **network))


@pytest.mark.parametrize("dims", [1, 2])
def test_few_dimensions(make_made, dims):
    model = model_of(make_made, (dims,), 9, random_order=True)
    for incremental in (True, False):
        torch.manual_seed(4)
        model.sample(5, incremental=incremental)
    canvas = torch.rand(3, dims)
    fast, full = model.network.sampler(3, None), model.network.full_sampler(3, None)
    with torch.no_grad():
        for t in range(dims):
            assert torch.allclose(fast(canvas, t), full(canvas, t), rtol=1e-12)


@pytest.mark.parametrize("num_masks", [None, 4])
@pytest.mark.parametrize("num_classes", [None, 2])
def test_every_order_of_a_mixture(make_made, num_masks, num_classes):
    network = {"random_order": True, "num_masks": num_masks, "hidden": [12, 8]}
    check_sampler(model_of(make_made, (8,), 3, num_classes, ensemble=4, **network))


@pytest.mark.parametrize(
    "observation, levels",
    [(Bernoulli, 2), (lambda levels: DiscretizedLogisticMixture(levels, 2), 4)],
    ids=["bernoulli", "logistic"],
)
def test_other_observations(make_made, observation, levels):
    check_sampler(model_of(make_made, (12,), levels, observation=observation, random_order=True, hidden=[20, 20]))


def test_continuous_data(make_made):
    """Every draw may round another way: the values agree, and so do the conditionals."""
    model = model_of(
        make_made, (7,), None, observation=lambda levels: Normal(levels, -5.0), random_order=True, hidden=[9, 9]
    )
    samples = []
    for incremental in (True, False):
        torch.manual_seed(0)
        samples.append(model.sample(5, incremental=incremental))
    assert torch.allclose(*samples, rtol=1e-8) and samples[0].std() > 0.1
    canvas = samples[0][:, model.network.permutation()]
    fast, full = model.network.sampler(5, None), model.network.full_sampler(5, None)
    with torch.no_grad():
        for t in range(7):
            assert torch.allclose(fast(canvas, t), full(canvas, t), rtol=1e-10)


@pytest.mark.parametrize("hidden", [[30], [30, 20]], ids=str)
def test_every_hidden_unit_is_computed_once(make_made, hidden):
    seen = []

    class Watched(torch.nn.Tanh):
        def forward(self, x):
            seen.append(x.numel() // 4)
            return super().forward(x)

    network = make_made((6,), 1, hidden=hidden, random_order=True, activation=Watched())
    sampler = network.sampler(4, None)
    for t in range(6):
        sampler(torch.rand(4, 6), t)
    assert sum(seen) == sum(hidden)


def test_what_is_not_drawn_yet_is_not_read(make_made):
    network = make_made((8,), 2, hidden=[20, 20], random_order=True)
    sampler, full = network.sampler(3, None), network.full_sampler(3, None)
    canvas, known = torch.full((3, 8), torch.nan), torch.zeros(3, 8)
    with torch.no_grad():
        for t in range(8):
            assert torch.allclose(sampler(canvas, t), full(known, t), rtol=1e-12)
            canvas[:, t] = known[:, t] = torch.rand(3)
