"""By gradient: a conditional depends on every dimension before it in the order, and on nothing else."""

import pytest
import torch
from checks import before, check_causality


@pytest.mark.parametrize("order", [0, 3])
@pytest.mark.parametrize("random_order", [False, True])
@pytest.mark.parametrize("hidden, direct", [([60], False), ([60, 60], False), ([3], True)])
def test_made(make_made, hidden, direct, random_order, order):
    network = make_made((2, 3), 3, hidden=hidden, direct=direct, random_order=random_order, num_masks=4)
    check_causality(network, before(6), order=order)


def test_conditional_made(make_made):
    check_causality(make_made((6,), 2, num_classes=3, random_order=True), before(6), y=torch.tensor([0, 2]))


def test_masks_of_made_follow_the_order_number(make_made):
    network = make_made((8,), 1, random_order=True, num_masks=None)
    assert len({tuple(network.permutation(k).tolist()) for k in range(20)}) > 15
    assert torch.equal(network.permutation(7), make_made((8,), 1, random_order=True).permutation(7))
    other = make_made((8,), 1, random_order=True, mask_seed=1)
    assert not torch.equal(network.permutation(7), other.permutation(7))
    for degrees in (network.degrees(3), make_made((8,), 1, hidden=[50, 50]).degrees(3)):
        assert sorted(degrees[0].tolist()) == list(range(1, 9))
        assert all(1 <= d.min() and d.max() <= 7 for d in degrees[1:])


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize(
    "network",
    [
        {"dilations": [1, 1, 1, 1]},
        {"dilations": [1, 1, 1, 1, 2]},
        {"first_kernel": 7, "kernel": 5, "dilations": [1, 2]},
    ],
    ids=str,
)
def test_gated_pixelcnn_has_no_blind_spot(make_gated_pixelcnn, network, labels):
    y = torch.tensor([1, 0]) if labels else None
    check_causality(make_gated_pixelcnn((1, 5, 5), 2, num_classes=2 if labels else 0, **network), before(25), y)


@pytest.mark.parametrize(
    "network, reach",
    [
        ({"dilations": []}, 1),
        ({"dilations": [1]}, 2),
        ({"first_kernel": 5, "dilations": [2]}, 4),
        ({"first_kernel": 7, "dilations": [1, 2, 1, 4, 1, 2]}, 14),
    ],
    ids=str,
)
def test_receptive_field_of_gated_pixelcnn(make_gated_pixelcnn, network, reach):
    """``reach`` pixels to the left; of the ``reach`` + 1 rows above, ``reach`` columns to either side."""
    height, width = reach + 3, 2 * reach + 3
    row, column = height - 1, reach + 1
    net = make_gated_pixelcnn((1, height, width), 1, **network)
    x = torch.rand(1, 1, height, width, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x)[0, 0, 0, row, column], x)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    near = (columns - column).abs() <= reach
    expected = ((rows < row) & (rows >= row - reach - 1) & near) | ((rows == row) & (columns < column) & near)
    assert torch.equal(gradient[0, 0] != 0, expected)


def test_impossible_networks_are_refused(make_made, make_gated_pixelcnn):
    with pytest.raises(ValueError, match="hidden="):
        make_made((4,), 1, hidden=[])
    with pytest.raises(ValueError, match="num_masks=0"):
        make_made((4,), 1, num_masks=0)
    for shape in ((4,), (8, 8)):
        with pytest.raises(ValueError, match=r"data\.shape="):
            make_gated_pixelcnn(shape, 1)
    for changes in ({"kernel": 4}, {"first_kernel": 1}):
        with pytest.raises(ValueError, match="must be odd and at least 3"):
            make_gated_pixelcnn((1, 8, 8), 1, **changes)
