import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of, randomise

from genexp.networks.autoregressive.fvsbn import FVSBN
from genexp.probability.observation.base import Bernoulli, DiscretizedLogisticMixture

ORDERS = pytest.mark.parametrize("random_order", [False, True])


@pytest.fixture
def make(float64):
    def make(shape, num_params, num_classes=0, levels=None, random_order=False, order_seed=0):
        sizes = {"shape": shape, "num_params": num_params, "num_classes": num_classes, "levels": levels}
        return randomise(FVSBN(**sizes, random_order=random_order, order_seed=order_seed), 1.0)

    return make


@ORDERS
@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 2, 2), (1,)], ids=str)
def test_every_dimension_sees_all_before_it(make, shape, random_order):
    network = make(shape, 3, random_order=random_order)
    check_causality(network, before(network.dims))


def test_every_dimension_sees_all_before_it_and_the_label(make):
    network = make((6,), 2, num_classes=3, random_order=True)
    check_causality(network, before(6), y=torch.tensor([0, 2]))
    x = torch.rand(1, 6).expand(3, -1)
    out = network(x, torch.arange(3))
    assert (out[0] != out[1]).all() and (out[1] != out[2]).all()


def test_the_order_is_a_function_of_its_seed(make):
    orders = [make((2, 3, 3), 1, random_order=True, order_seed=seed).permutation().tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == list(range(18)) for order in orders)
    assert make((2, 1, 2), 1).permutation().tolist() == [0, 2, 1, 3]  # channel by channel within a pixel


@ORDERS
@pytest.mark.parametrize("shape, levels", [((4,), 3), ((2, 1, 2), 3), ((1, 2, 3), 2), ((1,), 4)], ids=str)
def test_probabilities_sum_to_one(make, all_examples, shape, levels, random_order):
    check_normalised(model_of(make, shape, levels, random_order=random_order), all_examples(shape, levels))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "observation, levels", [(Bernoulli, 2), (lambda levels: DiscretizedLogisticMixture(levels, 2), 4)]
)
def test_probabilities_sum_to_one_of_other_observations(make, all_examples, observation, levels, num_classes):
    model = model_of(make, (4,), levels, num_classes, observation=observation, random_order=True)
    check_normalised(model, all_examples((4,), levels))


@ORDERS
@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("shape, levels", [((9,), 2), ((2, 2, 3), 4)], ids=str)
def test_the_sampler_equals_whole_forward_passes(make, shape, levels, num_classes, random_order):
    check_sampler(model_of(make, shape, levels, num_classes, random_order=random_order))


def test_it_is_logistic_regression(make):
    """The parameters are linear in x and in the one-hot label; the gradients too are those of the masked matrix only."""
    network = make((5,), 2, num_classes=3)
    x, z, y = torch.rand(4, 5), torch.rand(4, 5), torch.tensor([0, 1, 2, 1])
    assert torch.allclose(network(x, y) + network(z, y), 2 * network((x + z) / 2, y))
    network(x, y).sum().backward()
    used = torch.ones(5, 5).tril(-1).bool()
    assert network.weight.grad[:, used].all() and not network.weight.grad[:, ~used].any()


def test_it_starts_as_independent_dimensions(float64):
    sizes = {"shape": (6,), "num_params": 2, "num_classes": 3, "levels": 2, "random_order": False, "order_seed": 0}
    network = FVSBN(**sizes)
    out = network(torch.rand(4, 6), torch.tensor([0, 1, 2, 0]))
    assert torch.equal(out, out[:1].expand_as(out)) and out[0].unique().numel() == 12
