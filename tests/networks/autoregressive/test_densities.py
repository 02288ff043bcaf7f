"""Autoregressive networks are normalised: the probabilities of all examples of a tiny space sum to one."""

import pytest
import torch
from checks import check_normalised, model_of

from genexp.probability.observation.base import Bernoulli, DiscretizedLogisticMixture


@pytest.mark.parametrize("random_order", [False, True])
@pytest.mark.parametrize("hidden", [[9], [9, 8]])
@pytest.mark.parametrize("direct", [False, True])
def test_made(make_made, all_examples, random_order, hidden, direct):
    model = model_of(make_made, (4,), 3, random_order=random_order, hidden=hidden, direct=direct)
    check_normalised(model, all_examples((4,), 3))


@pytest.mark.parametrize("num_masks", [None, 5])
def test_every_mask_of_made_and_their_mixture(make_made, all_examples, num_masks):
    model = model_of(make_made, (2, 3), 2, random_order=True, num_masks=num_masks, ensemble=5)
    x = all_examples((2, 3), 2)
    each = torch.stack([model.order_log_prob(x, None, order) for order in range(5)])
    assert torch.allclose(each.logsumexp(1), torch.zeros(()), atol=1e-12)
    assert not torch.allclose(each[0], each[1])
    check_normalised(model, x)


@pytest.mark.parametrize("dims", [1, 2])
def test_made_of_one_or_two_dimensions(make_made, all_examples, dims):
    model = model_of(make_made, (dims,), 5, random_order=True, num_masks=3, ensemble=3)
    check_normalised(model, all_examples((dims,), 5))


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"dilations": []},
        {"dilations": [2, 1]},
        {"first_kernel": 5, "kernel": 5, "dilations": [1, 3]},
    ],
    ids=str,
)
def test_gated_pixelcnn(make_gated_pixelcnn, all_examples, network):
    model = model_of(make_gated_pixelcnn, (1, 3, 3), 2, **network)
    check_normalised(model, all_examples((1, 3, 3), 2))


@pytest.mark.parametrize("shape, levels", [((1, 2, 3), 3), ((1, 1, 4), 4), ((1, 4, 1), 4)])
def test_gated_pixelcnn_of_other_shapes(make_gated_pixelcnn, all_examples, shape, levels):
    model = model_of(make_gated_pixelcnn, shape, levels, dilations=[1, 1])
    check_normalised(model, all_examples(shape, levels))


@pytest.mark.parametrize("kind", ["made", "gated_pixelcnn"])
def test_conditional(make_made, make_gated_pixelcnn, all_examples, kind):
    make = {"made": make_made, "gated_pixelcnn": make_gated_pixelcnn}[kind]
    model, x = model_of(make, (1, 2, 3), 2, num_classes=3), all_examples((1, 2, 3), 2)
    check_normalised(model, x)


@pytest.mark.parametrize(
    "observation, levels",
    [(Bernoulli, 2), (lambda levels: DiscretizedLogisticMixture(levels, 2), 4)],
    ids=["bernoulli", "logistic"],
)
def test_other_observations(make_made, all_examples, observation, levels):
    model = model_of(make_made, (4,), levels, observation=observation)
    check_normalised(model, all_examples((4,), levels))
