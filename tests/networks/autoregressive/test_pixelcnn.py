"""PixelCNN: causality with its blind spot, normalisation, and the incremental sampler, for one and several channels."""

import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of, randomise

from genexp.networks.autoregressive.pixelcnn import PixelCNN

DEFAULTS = {"levels": None, "channels": 12, "first_kernel": 3, "kernel": 3, "blocks": 1, "head_channels": 24}


@pytest.fixture
def make(float64):
    def make(shape, num_params, num_classes=0, **changes):
        settings = DEFAULTS | changes
        return randomise(PixelCNN(shape=shape, num_params=num_params, num_classes=num_classes, **settings), 0.3)

    return make


def seen(shape, first_kernel, kernel, blocks):
    """Which dimensions the step of each dimension may see, both pixel by pixel and channel by channel: bool ``(D, D)``.

    Of its own row all to the left within reach. Right of a pixel in a row above: the first layer goes up at least a row to
    gain its reach a, and a block at least a row to gain its reach b; the row is nearer than the sum of reaches."""
    channels, height, width = shape
    a, b = first_kernel // 2, kernel // 2
    allowed = torch.zeros(height, width, channels, height, width, channels, dtype=torch.bool)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                allowed[i, j, c, i, j, :c] = True
                for up in range(min(i, a + b * blocks) + 1):
                    right = a + b * min(up - 1, blocks) if up else -1
                    for column in range(max(0, j - a - b * blocks), min(width, j + right + 1)):
                        allowed[i, j, c, i - up, column] = True
    return allowed.reshape(channels * height * width, -1)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(
    "shape, sizes",
    [
        ((1, 5, 6), {"first_kernel": 3, "blocks": 1}),
        ((1, 5, 6), {"first_kernel": 5, "blocks": 0}),
        ((1, 6, 8), {"first_kernel": 3, "blocks": 2}),
        ((1, 6, 7), {"first_kernel": 3, "kernel": 5, "blocks": 1}),
        ((2, 4, 4), {"first_kernel": 3, "blocks": 1}),
        ((3, 3, 4), {"first_kernel": 3, "blocks": 1, "channels": 24, "head_channels": 48}),
    ],
    ids=str,
)
def test_a_pixel_sees_all_before_it_within_reach_but_the_blind_spot(make, shape, sizes, labels):
    sizes = DEFAULTS | sizes
    allowed = seen(shape, sizes["first_kernel"], sizes["kernel"], sizes["blocks"])
    assert not (allowed & ~before(len(allowed))).any() and not torch.equal(allowed, before(len(allowed)))
    y = torch.tensor([1, 0]) if labels else None
    check_causality(make(shape, 2, num_classes=2 if labels else 0, **sizes), allowed, y)


@pytest.mark.parametrize(
    "shape, levels, network",
    [
        ((1, 3, 3), 2, {}),
        ((1, 3, 3), 2, {"blocks": 0}),
        ((1, 3, 3), 2, {"first_kernel": 7, "kernel": 5, "blocks": 3}),
        ((1, 1, 4), 4, {}),
        ((1, 4, 1), 4, {}),
        ((2, 1, 2), 5, {}),
        ((3, 2, 2), 2, {}),
        ((3, 1, 2), 3, {"channels": 4, "head_channels": 5}),
    ],
    ids=str,
)
def test_normalised(make, all_examples, shape, levels, network):
    check_normalised(model_of(make, shape, levels, **network), all_examples(shape, levels))


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 2)])
def test_conditionals_of_every_label_are_normalised(make, all_examples, shape):
    check_normalised(model_of(make, shape, 2, num_classes=3), all_examples(shape, 2))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "shape, network",
    [
        ((1, 5, 6), {"blocks": 0}),
        ((1, 5, 6), {"blocks": 2}),
        ((1, 5, 6), {"first_kernel": 7, "kernel": 5, "blocks": 2}),
        ((1, 1, 5), {}),
        ((1, 5, 1), {}),
        ((2, 3, 4), {"blocks": 2}),
        ((3, 3, 4), {"first_kernel": 5, "blocks": 2, "head_channels": 5}),
        ((3, 4, 1), {}),
    ],
    ids=str,
)
def test_the_incremental_sampler_equals_whole_passes(make, shape, network, num_classes):
    check_sampler(model_of(make, shape, 4, num_classes, **network))
    check_sampler(model_of(make, shape, 4, num_classes, **network), n=1)


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 3, 4)])
def test_steps_in_single_precision_are_as_exact_as_whole_passes(make, shape):
    """Both round; neither is far from the result in double precision. Automatic lower precision has no influence on steps."""
    network = make(shape, 4, blocks=3)
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


def test_impossible_networks_are_refused(make):
    with pytest.raises(ValueError, match=r"data\.shape"):
        make((4,), 1)
    for changes in ({"kernel": 4}, {"first_kernel": 1}):
        with pytest.raises(ValueError, match="must be odd and at least 3"):
            make((1, 8, 8), 1, **changes)
    for changes in ({"channels": 2}, {"head_channels": 2}, {"blocks": -1}, {"channels": 0}):
        (name,) = changes
        with pytest.raises(ValueError, match=f"{name}=.*must be at least"):
            make((3, 8, 8), 1, **changes)
