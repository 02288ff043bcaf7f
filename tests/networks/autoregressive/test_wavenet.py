"""WaveNet: causality and receptive field by gradient, normalisation, and the sampler with rings."""

import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of, randomise

from genexp.networks.autoregressive.wavenet import WaveNet

NETWORKS = [
    {},
    {"layers": 1, "stacks": 1},
    {"layers": 3, "stacks": 2, "channels": 3, "skip_channels": 7},
]


@pytest.fixture
def make_wavenet(float64):
    def make(shape, num_params, num_classes=0, **changes):
        defaults = {
            "levels": num_params,
            "channels": 4,
            "skip_channels": 24,
            "layers": 2,
            "stacks": 2,
            "dropout": 0.0,
            "label_factors": None,
        }
        network = WaveNet(shape=shape, num_params=num_params, num_classes=num_classes, **defaults | changes)
        return randomise(network, 0.5)

    return make


def reach(network):
    """What each step depends on: the latest ``receptive_field`` of the samples before it."""
    return before(network.dims).triu(-network.receptive_field)


@pytest.mark.parametrize("layers, stacks, receptive_field", [(1, 1, 3), (2, 1, 5), (2, 2, 8), (3, 2, 16)])
def test_causality(make_wavenet, layers, stacks, receptive_field):
    network = make_wavenet((20,), 2, layers=layers, stacks=stacks, skip_channels=20)
    assert network.receptive_field == receptive_field
    check_causality(network, reach(network), embedding=network.embedding)


@pytest.mark.parametrize("layers, stacks, receptive_field", [(10, 1, 1025), (10, 2, 2048), (8, 4, 1022)])
def test_the_whole_receptive_field_is_used(make_wavenet, layers, stacks, receptive_field):
    network = make_wavenet((receptive_field + 9,), 2, layers=layers, stacks=stacks, skip_channels=20)
    assert network.receptive_field == receptive_field
    embedded = []
    network.embedding.register_forward_hook(lambda _, __, out: embedded.append(out))
    params = network(torch.rand(1, *network.shape).round())
    (gradient,) = torch.autograd.grad(params[0, 0, -1], embedded)
    seen = gradient[0].abs().sum(1) > 0
    assert torch.equal(seen, reach(network)[-1])


@pytest.mark.parametrize("shape", [(1,), (2,), (2, 3), (2, 2, 3)])
def test_causality_in_the_sequence_of_any_shape(make_wavenet, shape):
    network = make_wavenet(shape, 3)
    assert torch.equal(reach(network)[: network.receptive_field], before(network.dims)[: network.receptive_field])
    check_causality(network, reach(network), embedding=network.embedding)


def test_causality_of_a_conditional_network(make_wavenet):
    network = make_wavenet((9,), 2, num_classes=6, label_factors=[3, 2])
    check_causality(network, reach(network), torch.tensor([4, 1]), embedding=network.embedding)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("shape, levels", [((4,), 3), ((2, 1, 3), 2), ((1,), 5)])
def test_normalised(make_wavenet, all_examples, network, shape, levels):
    check_normalised(model_of(make_wavenet, shape, levels, **network), all_examples(shape, levels))


@pytest.mark.parametrize("label_factors", [None, [3, 2]])
def test_normalised_for_every_label(make_wavenet, all_examples, label_factors):
    model = model_of(make_wavenet, (4,), 3, num_classes=6, label_factors=label_factors)
    check_normalised(model, all_examples((4,), 3))


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("shape", [(23,), (2, 3, 2), (3,)])
def test_sampler(make_wavenet, network, shape):
    check_sampler(model_of(make_wavenet, shape, 4, None, **network))


@pytest.mark.parametrize("label_factors", [None, [3, 2]])
def test_sampler_of_a_conditional_network(make_wavenet, label_factors):
    check_sampler(model_of(make_wavenet, (17,), 4, 6, label_factors=label_factors))


def test_sampler_in_single_precision():
    """Through two turns of the longest ring."""
    torch.manual_seed(0)
    network = WaveNet(
        shape=(1100,),
        num_params=256,
        num_classes=60,
        levels=256,
        channels=16,
        skip_channels=32,
        layers=9,
        stacks=2,
        dropout=0.5,
        label_factors=[10, 6],
    ).eval()
    x, y = torch.randint(256, (2, 1100)) / 255, torch.tensor([3, 41])
    sampler = network.sampler(2, y)
    with torch.no_grad():
        steps = torch.stack([sampler(x, t) for t in range(1100)], dim=2)
        whole = network(x, y)
    assert torch.allclose(steps, whole, atol=1e-5) and whole.std() > 0.01


def test_factors_of_a_label_add_up(make_wavenet):
    network = make_wavenet((5,), 3, num_classes=60, label_factors=[10, 6])
    assert network.label_rows(torch.tensor([0, 5, 6, 59])).tolist() == [[10, 0], [15, 0], [10, 1], [15, 9]]
    layer, rows = network.layers[0], network.label_rows(torch.tensor([2 * 6 + 3]))
    assert torch.equal(layer.label_terms(rows)[0, 0], layer.label.weight[2] + layer.label.weight[10 + 3])
    assert layer.label.weight.shape[0] == 16


def test_dropout_is_for_training(make_wavenet):
    network, x = make_wavenet((9,), 3, dropout=0.5), torch.randint(3, (2, 9)) / 2
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"levels": None}, r"data\.levels=null: WaveNet models data with levels"),
        ({"channels": 0}, "channels=0: must be at least 1"),
        ({"stacks": 0}, "stacks=0: must be at least 1"),
        ({"dropout": 1.0}, r"dropout=1.0: must be in \[0, 1\)"),
        ({"label_factors": [2, 3]}, r"label_factors=\[2, 3\]: their product must be 5"),
    ],
)
def test_impossible_networks_are_refused(make_wavenet, wrong, message):
    with pytest.raises(ValueError, match=message):
        make_wavenet((4,), 3, num_classes=5, **wrong)
