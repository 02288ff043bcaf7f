"""PixelCNN++: causal without a blind spot, normalised over all channels, and sampled without recomputation."""

import pytest
import torch
from checks import check_causality, check_normalised, check_sampler, model_of, randomise
from torch.utils.flop_counter import FlopCounterMode

from genexp.networks.autoregressive.pixelcnn_pp import PixelCNNpp
from genexp.networks.autoregressive.pixelcnn_pp_layers import First, concat_elu
from genexp.probability.observation.base import Bernoulli, Categorical
from genexp.probability.observation.pixel_logistic_mixture import PixelLogisticMixture


@pytest.fixture
def make(float64):
    def make(shape, num_params, num_classes=0, **changes):
        defaults = {"levels": None, "filters": 6, "resnets": 1, "downsamplings": 0, "dropout": 0.0}
        network = PixelCNNpp(shape=shape, num_params=num_params, num_classes=num_classes, **defaults | changes)
        return randomise(network, 0.5)

    return make


def mixture(channels, components=2):
    return lambda levels: PixelLogisticMixture(levels, channels, components)


def pixels_before(shape):
    """All channels of all pixels before, in raster order: ``(T, D)``."""
    channels, height, width = shape
    return torch.ones(height * width, height * width).tril(-1).bool().repeat_interleave(channels, dim=1)


@pytest.mark.parametrize(
    "shape, network",
    [
        ((1, 5, 5), {"resnets": 2}),
        ((3, 3, 4), {"resnets": 2}),
        ((1, 4, 4), {"downsamplings": 1}),
        ((2, 4, 6), {"downsamplings": 1}),
        ((1, 4, 8), {"resnets": 2, "downsamplings": 2}),
        ((2, 8, 4), {"downsamplings": 2}),
        ((2, 1, 4), {}),
        ((2, 4, 1), {"resnets": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("labels", [False, True])
def test_causality(make, shape, network, labels):
    y = torch.tensor([1, 0]) if labels else None
    check_causality(make(shape, 2, num_classes=2 if labels else 0, filters=3, **network), pixels_before(shape), y)


@pytest.mark.parametrize(
    "shape, levels, network",
    [
        ((3, 2, 2), 2, {}),
        ((3, 2, 2), 2, {"downsamplings": 1}),
        ((2, 1, 3), 4, {}),
        ((2, 2, 2), 3, {"resnets": 2, "downsamplings": 1}),
        ((3, 2, 1), 4, {}),
    ],
    ids=str,
)
def test_probabilities_of_colour_images_sum_to_one(make, all_examples, shape, levels, network):
    model = model_of(make, shape, levels, observation=mixture(shape[0]), **network)
    check_normalised(model, all_examples(shape, levels))


@pytest.mark.parametrize(
    "observation", [mixture(1), Categorical, Bernoulli], ids=["mixture", "categorical", "bernoulli"]
)
def test_probabilities_of_grey_images_sum_to_one(make, all_examples, observation):
    model = model_of(make, (1, 2, 4), 2, observation=observation, downsamplings=1)
    check_normalised(model, all_examples((1, 2, 4), 2))


@pytest.mark.parametrize("shape", [(1, 2, 6), (1, 6, 2)])
def test_probabilities_across_blocks_in_a_row_and_in_a_column_sum_to_one(make, all_examples, shape):
    model = model_of(make, shape, 2, observation=Bernoulli, downsamplings=1, filters=4)
    check_normalised(model, all_examples(shape, 2))


def test_conditional(make, all_examples):
    model = model_of(make, (2, 2, 2), 2, num_classes=3, observation=mixture(2), downsamplings=1)
    check_normalised(model, all_examples((2, 2, 2), 2))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "shape, network",
    [
        ((3, 5, 6), {}),
        ((3, 5, 3), {"resnets": 2}),
        ((3, 4, 6), {"downsamplings": 1}),
        ((1, 4, 8), {"downsamplings": 2, "resnets": 2}),
        ((2, 8, 4), {"downsamplings": 2}),
        ((1, 1, 5), {}),
        ((2, 5, 1), {"filters": 5}),
    ],
    ids=str,
)
def test_sampling_without_recomputation(make, shape, network, num_classes):
    check_sampler(model_of(make, shape, 4, num_classes, observation=mixture(shape[0]), **network))


def test_sampling_of_single_channels_with_another_observation(make):
    check_sampler(model_of(make, (1, 4, 8), 3, observation=Categorical, downsamplings=2))


@pytest.mark.parametrize("n", [1, 4])
def test_the_incremental_logits_in_single_precision_are_those_of_the_forward_pass(n):
    torch.manual_seed(0)
    network = PixelCNNpp(
        shape=(3, 8, 8), num_params=20, num_classes=0, levels=256, filters=16, resnets=2, downsamplings=2, dropout=0.5
    ).eval()
    x = torch.rand(n, 3, 8, 8)
    canvas = x.flatten(1)[:, network.permutation()]
    with torch.no_grad():
        full, sampler = network(x).flatten(2), network.sampler(n, None)
        steps = torch.stack([sampler(canvas, t) for t in range(network.steps)], dim=2)
    assert (steps - full).abs().max() < 1e-5 * full.abs().max().clamp(min=1)


def test_every_step_costs_as_much_as_it_adds(make, monkeypatch):
    """All steps together do at most a quarter more multiplications than one forward pass."""

    def product(_, a, b, **rest):
        return 2 * a[0] * a[1] * b[1]

    network = make((3, 16, 16), 30, filters=16, resnets=2, downsamplings=2)
    canvas = torch.rand(2, network.dims)
    with torch.no_grad():
        with FlopCounterMode(display=False) as whole:
            network(torch.rand(2, *network.shape))
        sampler = network.sampler(2, None)
        with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: product}) as steps:
            for t in range(network.steps):
                sampler(canvas, t)
    assert 0.7 < steps.get_total_flops() / whole.get_total_flops() < 1.25


@pytest.mark.parametrize("sides", [(4, 5), (1, 3), (3, 1), (1, 1)], ids=str)
def test_both_streams_begin_with_zeros_where_nothing_is_above_or_to_the_left(float64, sides):
    """Not with a bias: the authors shift the outputs of the first convolutions. Elsewhere pixel by pixel."""
    first, x = randomise(First(2, 3), 0.5), torch.rand(2, 2, *sides)
    u, ul = first(x)
    padded = torch.nn.functional.pad(x, (1, 1, 2, 0))  # two rows above, one column aside
    for row in range(sides[0]):
        for column in range(sides[1]):
            above = padded[:, :, row : row + 2, column : column + 3]
            expected_u, expected_ul = torch.zeros(2, 2, 3)
            if row > 0:
                expected_u = first.u(above)[:, :, 0, 0]
                expected_ul = first.above(above[:, :, 1:])[:, :, 0, 0]
            if column > 0:
                left = padded[:, :, row + 1 : row + 3, column : column + 1]
                expected_ul = expected_ul + first.left(left)[:, :, 0, 0]
            assert torch.allclose(u[:, :, row, column], expected_u)
            assert torch.allclose(ul[:, :, row, column], expected_ul)


def test_dropout_is_for_training_only(make):
    network, x = make((1, 4, 4), 2, dropout=0.5), torch.rand(2, 1, 4, 4)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_weights_are_normalised_and_begin_with_the_norms_asked_for():
    network = PixelCNNpp(
        shape=(1, 8, 8), num_params=5, num_classes=0, levels=2, filters=4, resnets=1, downsamplings=1, dropout=0.0
    )
    layer = network.contract[0][0]
    for conv, norm, dims in (
        (layer.u.conv1, 1, (1, 2, 3)),
        (layer.ul.conv2, 0.1, (1, 2, 3)),
        (network.grow[0].u, 1, (0, 2, 3)),
        (network.head, 1, (1, 2, 3)),
    ):
        assert torch.allclose(torch.linalg.vector_norm(conv.weight, dim=dims), torch.tensor(float(norm)))
        conv.parametrizations.weight.original1.data.mul_(3)
        assert torch.allclose(torch.linalg.vector_norm(conv.weight, dim=dims), torch.tensor(float(norm)))


def test_concat_elu():
    expected = [[[[2.0]], [[torch.e**-1 - 1]], [[torch.e**-2 - 1]], [[1.0]]]]
    assert torch.allclose(concat_elu(torch.tensor([[[[2.0]], [[-1.0]]]])), torch.tensor(expected))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"shape": (180,)}, r"data\.shape=\[180\]"),
        ({"shape": (1, 28, 28), "downsamplings": 3}, r"data\.shape=\[1, 28, 28\]: downsamplings=3.*multiples of 8"),
        ({"shape": (3, 6, 8), "downsamplings": 2}, r"data\.shape=\[3, 6, 8\].*multiples of 4"),
        ({"filters": 0}, "filters=0: must be at least 1"),
        ({"resnets": 0}, "resnets=0: must be at least 1"),
        ({"downsamplings": -1}, "downsamplings=-1: must be at least 0"),
        ({"dropout": 1.0}, r"dropout=1\.0: must be in"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(make, wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**{"shape": (1, 8, 8), "num_params": 3} | wrong)


def test_an_observation_of_single_channels_is_refused_for_colour(make):
    with pytest.raises(ValueError, match="Categorical joins 1 channels of a pixel, PixelCNNpp draws 3 together"):
        model_of(make, (3, 4, 4), 4, observation=Categorical)
