"""Gated PixelCNN of several channels; that of one is in the tests of all networks."""

import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of

from genexp.networks.autoregressive.gated_pixelcnn import GatedPixelCNN


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(
    "shape, network",
    [
        ((2, 4, 3), {"dilations": [1, 1]}),
        ((3, 3, 3), {"dilations": [1]}),
        ((3, 2, 4), {"first_kernel": 7, "kernel": 5, "dilations": [1, 2]}),
        ((4, 1, 2), {"dilations": []}),
    ],
    ids=str,
)
def test_every_channel_depends_on_all_before_it(make_gated_pixelcnn, shape, network, labels):
    y = torch.tensor([1, 0]) if labels else None
    sizes = {"channels": 36, "head_channels": 36}  # so many that no channel's rectified units are all zero
    net = make_gated_pixelcnn(shape, 2, num_classes=2 if labels else 0, **sizes, **network)
    check_causality(net, before(net.dims), y)


def test_receptive_field_of_every_channel(make_gated_pixelcnn):
    """``reach`` pixels to the left, and the channels before it of its own; of the ``reach`` + 1 rows above, ``reach`` columns
    to either side."""
    network, reach = make_gated_pixelcnn((3, 7, 7), 1, first_kernel=3, dilations=[1]), 2
    row, column = 5, 3
    x = torch.rand(1, 3, 7, 7, requires_grad=True)
    rows, columns = torch.arange(7)[:, None], torch.arange(7)[None]
    near = (columns - column).abs() <= reach
    context = ((rows < row) & (rows >= row - reach - 1) & near) | ((rows == row) & (columns < column) & near)
    for c in range(3):
        (gradient,) = torch.autograd.grad(network(x)[0, 0, c, row, column], x)
        expected = context.expand(3, -1, -1).clone()
        expected[:c, row, column] = True
        assert torch.equal(gradient[0] != 0, expected)


@pytest.mark.parametrize(
    "shape, levels, num_classes, network",
    [
        ((2, 1, 2), 5, None, {}),
        ((3, 2, 2), 2, None, {}),
        ((3, 2, 2), 2, None, {"first_kernel": 7, "dilations": [2, 1]}),
        ((3, 1, 2), 3, None, {"channels": 4, "head_channels": 5}),
        ((3, 1, 2), 2, 3, {}),
        ((2, 2, 1), 3, 2, {"dilations": []}),
    ],
    ids=str,
)
def test_normalised(make_gated_pixelcnn, all_examples, shape, levels, num_classes, network):
    check_normalised(model_of(make_gated_pixelcnn, shape, levels, num_classes, **network), all_examples(shape, levels))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "shape, network",
    [
        ((2, 3, 4), {"dilations": []}),
        ((3, 4, 5), {"dilations": [1, 2], "head_channels": 5}),
        ((3, 3, 6), {"first_kernel": 5, "kernel": 5, "dilations": [3, 1], "channels": 7}),
        ((3, 4, 1), {}),
        ((3, 1, 4), {}),
    ],
    ids=str,
)
def test_the_incremental_sampler_equals_whole_passes(make_gated_pixelcnn, shape, network, num_classes):
    check_sampler(model_of(make_gated_pixelcnn, shape, 4, num_classes, **network))
    check_sampler(model_of(make_gated_pixelcnn, shape, 4, num_classes, **network), n=1)


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 3, 4)])
def test_steps_in_single_precision_are_as_exact_as_whole_passes(make_gated_pixelcnn, shape):
    """Both round; neither is far from the result in double precision. Automatic lower precision has no influence on steps."""
    network = make_gated_pixelcnn(shape, 4, channels=32, dilations=[1, 2, 1, 4])
    x = torch.rand(5, *shape).round()
    canvas = x.flatten(1)[:, network.permutation()].float()
    with torch.no_grad():
        exact = network(x).flatten(2)[:, :, network.permutation()]
        network = network.float()
        sampler = network.sampler(5, None)
        steps = torch.stack([sampler(canvas, t) for t in range(network.dims)], dim=2)
        with torch.autocast("cpu", torch.bfloat16):
            sampler = network.sampler(5, None)
            again = torch.stack([sampler(canvas, t) for t in range(network.dims)], dim=2)
    assert steps.dtype == torch.float32 and exact.std() > 0.3
    assert (steps - exact).abs().max() < 1e-5 * exact.abs().max()
    assert torch.equal(steps, again)


def test_parameters_of_one_channel():
    """What checkpoints hold: one kernel of each stack, the first horizontal one without the present pixel; no masks."""
    settings = {"channels": 4, "first_kernel": 7, "kernel": 3, "dilations": [1], "head_channels": 5}
    network = GatedPixelCNN(shape=(1, 8, 8), num_params=2, num_classes=3, levels=2, **settings)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    first = {"vertical": (8, 2, 4, 7), "horizontal": (8, 2, 1, 3), "down": (8, 8, 1, 1), "mix": (8, 4, 1, 1)}
    second = first | {"vertical": (8, 4, 2, 3), "horizontal": (8, 4, 1, 2)}
    expected = {}
    for i, layer in enumerate((first, second)):
        for name, shape in layer.items():
            expected |= {f"layers.{i}.{name}.weight": shape, f"layers.{i}.{name}.bias": shape[:1]}
        expected[f"layers.{i}.label.weight"] = (3, 16)
    expected |= {"head.1.weight": (5, 4, 1, 1), "head.1.bias": (5,), "head.3.weight": (2, 5, 1, 1), "head.3.bias": (2,)}
    assert shapes == expected and list(shapes) == list(expected)
    assert not list(network.buffers())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"channels": 2}, "channels=2: must be at least 3"),
        ({"head_channels": 2}, "head_channels=2: must be at least 3"),
        ({"dilations": [1, 0]}, r"dilations=\[1, 0\]: must be at least 1"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(make_gated_pixelcnn, change, message):
    with pytest.raises(ValueError, match=message):
        make_gated_pixelcnn((3, 8, 8), 1, **change)
