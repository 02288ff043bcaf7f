from functools import partial

import pytest
import torch
from torch import nn

from genexp.networks.blocks.conditional_norm import ConditionalBatchNorm, batch_norm_layer, in_turn
from genexp.networks.blocks.initialisation import initialise


@pytest.mark.parametrize(
    ("make", "shape"), [(nn.BatchNorm1d, (8, 5)), (nn.BatchNorm2d, (8, 5, 2, 3))], ids=["1d", "2d"]
)
def test_each_label_has_a_batch_normalisation_of_its_own(float64, make, shape):
    """Row i is what PyTorch's layer makes of the batch with the gain and bias of label i; so are gradients and statistics."""
    torch.manual_seed(0)
    layer, x, y = batch_norm_layer(make, 5, 3), torch.randn(shape), torch.tensor([0, 1, 2, 2, 1, 0, 0, 2])
    assert isinstance(layer, ConditionalBatchNorm)
    assert torch.equal(layer(x, y), make(5)(x))  # as it begins
    nn.init.normal_(layer.gain)
    nn.init.normal_(layer.bias)
    layer.norm.reset_running_stats()
    plain = [make(5) for _ in range(3)]
    for k, one in enumerate(plain):
        one.load_state_dict(layer.norm.state_dict() | {"weight": layer.gain[k], "bias": layer.bias[k]})
    for training in (True, False):
        layer.train(training)
        for one in plain:
            one.train(training)
        found = layer(x, y)
        expected = torch.stack([plain[k](x)[i] for i, k in enumerate(y)])
        assert torch.allclose(found, expected)
        for one in plain:  # which saw the batch several times
            one.load_state_dict(one.state_dict() | layer.norm.state_dict())
    weights = torch.randn(shape)
    (weights * found).sum().backward()
    for k, one in enumerate(plain):
        ((weights * one(x))[y == k]).sum().backward()
        assert torch.allclose(layer.gain.grad[k], one.weight.grad) and torch.allclose(layer.bias.grad[k], one.bias.grad)


def test_without_labels_it_is_the_plain_layer():
    assert type(batch_norm_layer(nn.BatchNorm2d, 5, 0)) is nn.BatchNorm2d


def test_layers_in_turn_are_given_the_label_where_they_want_it(float64):
    layers = nn.ModuleList([nn.Linear(4, 5), batch_norm_layer(nn.BatchNorm1d, 5, 3), nn.ReLU()])
    nn.init.normal_(layers[1].gain)
    x, y = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    assert torch.equal(in_turn(layers, x, y), layers[1](layers[0](x), y).relu())


def test_initialisation_leaves_gains_at_one_and_biases_at_zero():
    network = nn.ModuleList([nn.Linear(4, 5), batch_norm_layer(nn.BatchNorm1d, 5, 3)])
    initialise(network, partial(nn.init.constant_, val=7.0))
    assert (network[0].weight == 7).all() and not network[0].bias.any()
    assert (network[1].gain == 1).all() and not network[1].bias.any()
