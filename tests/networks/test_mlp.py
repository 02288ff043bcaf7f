from functools import partial

import pytest
import torch
from torch import nn

from genexp.networks.blocks.initialisation import initialise
from genexp.networks.blocks.maxout import Maxout
from genexp.networks.mlp import ConditionalMLP, MLPDecoder, MLPEncoder, MLPGenerator


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)], ids=str)
def test_shapes(shape, num_classes):
    common = {"shape": shape, "hidden": [6], "activation": torch.nn.ReLU(), "initialisation": None}
    common["num_classes"] = num_classes
    x, z = torch.rand(2, *shape), 100 * torch.randn(2, 5)
    y = torch.tensor([1, 2]) if num_classes else None
    assert MLPEncoder(num_params=10, **common)(x, y).shape == (2, 10)
    assert MLPDecoder(latent_dim=5, num_params=17, **common)(z, y).shape == (2, 17, *shape)
    for levels, bounded in ((256, True), (None, False)):
        out = MLPGenerator(latent_dim=5, levels=levels, normalisation=None, **common)(z, y)
        assert out.shape == (2, *shape) and bool(out.abs().max() <= 1) == bounded


def test_initialisation_sets_weights_and_zeroes_biases():
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    initialise(network, torch.nn.init.orthogonal_)
    weight = network[0].weight
    assert torch.allclose(weight @ weight.T, torch.eye(4), atol=1e-6)
    assert not network[0].bias.any() and not network[2].bias.any()
    assert torch.equal(network[1].weight, torch.ones(4))


def test_maxout_by_hand(float64):
    """Every unit is the largest of three linear maps of its input."""
    network = ConditionalMLP(
        in_features=4, out_features=2, hidden=[5, 6], activation=Maxout(3), num_classes=0, initialisation=None
    )
    x, (first, _, second, _, last) = torch.randn(7, 4), network.layers
    h = x
    for layer, width in ((first, 5), (second, 6)):
        maps = [h @ layer.weight[i : i + width].T + layer.bias[i : i + width] for i in range(0, 3 * width, width)]
        h = torch.maximum(torch.maximum(maps[0], maps[1]), maps[2])
    assert torch.allclose(network(x), h @ last.weight.T + last.bias)
    with pytest.raises(ValueError, match="pieces=1"):
        Maxout(1)


def test_gradients_of_maxout(float64):
    x = torch.randn(3, 10, requires_grad=True)
    with torch.no_grad():
        x[0] = 0.5
    assert torch.autograd.gradcheck(Maxout(5), x[1:].detach().requires_grad_())
    assert torch.autograd.gradgradcheck(Maxout(5), x[1:].detach().requires_grad_())
    upstream = torch.randn(3, 2)
    (found,) = torch.autograd.grad(Maxout(5)(x), x, upstream)
    (expected,) = torch.autograd.grad(x.unflatten(1, (5, 2)).amax(1), x, upstream)
    assert torch.equal(found, expected) and torch.equal(found[0, :2], upstream[0] / 5)


def test_a_normalised_generator_by_hand(float64):
    """Linear maps without biases, batch normalisation with its momentum, ReLU; a bias at the output only."""
    network = MLPGenerator(
        shape=(3,),
        levels=None,
        latent_dim=2,
        hidden=[5, 6],
        activation=nn.ReLU(),
        num_classes=0,
        normalisation=partial(nn.BatchNorm1d, momentum=0.05),
        initialisation=partial(nn.init.normal_, std=0.5),
    )
    assert sum(p.numel() for p in network.parameters()) == 2 * 5 + 2 * 5 + 5 * 6 + 2 * 6 + 6 * 3 + 3
    z, linear = torch.randn(9, 2), [layer for layer in network.layers if isinstance(layer, nn.Linear)]
    first = z @ linear[0].weight.T
    h = z
    for layer in linear[:-1]:
        h = h @ layer.weight.T
        h = ((h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()).relu()
    assert torch.allclose(network(z), h @ linear[-1].weight.T)
    assert torch.allclose(network.layers[1].running_mean, 0.05 * first.mean(0))
