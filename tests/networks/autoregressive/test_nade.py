import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of, randomise
from torch import nn

from genexp.networks.autoregressive import nade
from genexp.networks.autoregressive.nade import NADE, Conditionals
from genexp.probability.observation.base import Bernoulli, DiscretizedLogisticMixture

ORDERS = pytest.mark.parametrize("random_order", [False, True])
ACTIVATIONS = pytest.mark.parametrize("activation", [nn.Sigmoid, nn.ReLU])
BLOCKS = pytest.mark.parametrize("block, tile", [(1, 2**20), (3, 2**20), (16, 2**20), (3, 30)])


@pytest.fixture
def make(float64):
    def make(shape, num_params, num_classes=0, levels=None, activation=nn.Sigmoid, scale=1.0, **changes):
        defaults = {"hidden": 10, "random_order": False, "order_seed": 0, "initialisation": None}
        sizes = {"shape": shape, "num_params": num_params, "num_classes": num_classes, "levels": levels}
        return randomise(NADE(**sizes, activation=activation(), **defaults | changes), scale)

    return make


def by_definition(network, x, y=None):
    """Equations 3 and 4 of Uria et al. (2016), dimension by dimension."""
    x = x.flatten(1)[:, network.sequence]
    bias = network.out_bias.view(network.dims, network.num_params)
    params = []
    for d in range(network.dims):
        a = network.in_bias + x[:, :d] @ network.in_weight[:d]
        a = a if y is None else a + network.label[y]
        params.append(bias[d] + network.activation(a) @ network.out_weight[d].t())
    return torch.stack(params, 2)[..., network.sequence.argsort()].unflatten(2, network.shape)


@ACTIVATIONS
@BLOCKS
@pytest.mark.parametrize("num_params", [1, 3])
def test_values_and_gradients_are_those_of_the_definition(make, activation, block, tile, num_params, monkeypatch):
    monkeypatch.setattr(nade, "BLOCK", block)
    monkeypatch.setattr(nade, "TILE", tile)
    network = make((1, 2, 4), num_params, num_classes=3, activation=activation, random_order=True)
    x, y = torch.rand(5, 1, 2, 4, requires_grad=True), torch.tensor([0, 2, 1, 1, 0])
    inputs = [x, *network.parameters()]
    weights = torch.randn(5, num_params, 1, 2, 4)
    found, expected = network(x, y), by_definition(network, x, y)
    assert torch.allclose(found, expected, rtol=1e-12)
    gradients = torch.autograd.grad((found * weights).sum(), inputs)
    for a, b in zip(gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        assert b.any() and torch.allclose(a, b, rtol=1e-10, atol=1e-12)


@ACTIVATIONS
@pytest.mark.parametrize("block", [1, 3, 16])
@pytest.mark.parametrize("num_params", [1, 3])
def test_gradients_by_finite_differences(float64, activation, block, num_params, monkeypatch):
    monkeypatch.setattr(nade, "BLOCK", block)
    torch.manual_seed(0)
    sizes = [(7, 3), (3, 5), (7, 5), (7, num_params, 5)]
    inputs = [torch.randn(size, requires_grad=True) for size in sizes]
    assert torch.autograd.gradcheck(lambda *inputs: Conditionals.apply(*inputs, activation), inputs)


def test_gradients_where_x_needs_none(make):
    network = make((6,), 2)
    gradients = []
    for needed in (False, True):
        torch.manual_seed(1)
        loss = network(torch.rand(3, 6, requires_grad=needed)).square().sum()
        gradients.append(torch.autograd.grad(loss, list(network.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_half_precision_around_it_changes_little():
    torch.manual_seed(0)
    sizes = {"shape": (40,), "num_params": 2, "num_classes": 3, "levels": 2, "order_seed": 0, "random_order": False}
    network = NADE(**sizes, hidden=30, activation=nn.Sigmoid(), initialisation=None)
    x, y = torch.rand(4, 40), torch.tensor([0, 1, 2, 0])
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x, y)
        assert torch.allclose(out, network(x, y).float(), atol=0.05)
    out.square().sum().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.any() for p in network.parameters())


# --- as every autoregressive network ------------------------------------------------------------------


@ORDERS
@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 2, 2), (1,)], ids=str)
def test_every_dimension_sees_all_before_it(make, shape, random_order):
    network = make(shape, 3, random_order=random_order)
    check_causality(network, before(network.dims))


def test_every_dimension_sees_all_before_it_and_the_label(make):
    network = make((6,), 2, num_classes=3, random_order=True, activation=nn.ReLU, hidden=60)
    check_causality(network, before(6), y=torch.tensor([0, 2]))
    out = network(torch.rand(1, 6).expand(3, -1), torch.arange(3))
    assert (out[0] != out[1]).all() and (out[1] != out[2]).all()


@ORDERS
@ACTIVATIONS
@pytest.mark.parametrize("shape, levels", [((4,), 3), ((2, 1, 2), 3), ((1, 2, 3), 2), ((1,), 4)], ids=str)
def test_probabilities_sum_to_one(make, all_examples, shape, levels, random_order, activation):
    model = model_of(make, shape, levels, random_order=random_order, activation=activation)
    check_normalised(model, all_examples(shape, levels))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "observation, levels", [(Bernoulli, 2), (lambda levels: DiscretizedLogisticMixture(levels, 2), 4)]
)
def test_probabilities_sum_to_one_of_other_observations(make, all_examples, observation, levels, num_classes):
    model = model_of(make, (4,), levels, num_classes, observation=observation, random_order=True)
    check_normalised(model, all_examples((4,), levels))


@ORDERS
@ACTIVATIONS
@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("shape, levels", [((9,), 2), ((2, 2, 3), 4)], ids=str)
def test_the_sampler_equals_whole_forward_passes(make, shape, levels, num_classes, random_order, activation):
    check_sampler(model_of(make, shape, levels, num_classes, random_order=random_order, activation=activation))


def test_the_order_is_a_function_of_its_seed(make):
    orders = [make((2, 3, 3), 1, random_order=True, order_seed=seed).permutation().tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == list(range(18)) for order in orders)
    assert make((2, 1, 2), 1).permutation().tolist() == [0, 2, 1, 3]  # channel by channel within a pixel


def test_wrong_arguments_are_refused(make):
    with pytest.raises(ValueError, match="hidden=0: must be at least 1"):
        make((4,), 1, hidden=0)
    with pytest.raises(ValueError, match=r"activation=Tanh\(\): NADE has the gradients of"):
        make((4,), 1, activation=nn.Tanh)
