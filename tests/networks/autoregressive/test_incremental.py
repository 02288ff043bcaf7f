"""The sampler that reuses earlier steps equals whole forward passes, element by element, under one seed."""

import pytest
from checks import check_sampler, model_of

GATED_PIXELCNNS = [
    {"dilations": []},
    {"dilations": [1, 2]},
    {"first_kernel": 5, "kernel": 5, "dilations": [3, 1]},
    {"first_kernel": 7, "dilations": [1, 4]},
]


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("network", GATED_PIXELCNNS, ids=str)
def test_gated_pixelcnn(make_gated_pixelcnn, network, num_classes):
    check_sampler(model_of(make_gated_pixelcnn, (1, 5, 6), 4, num_classes, **network))


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 5, 1)])
def test_gated_pixelcnn_of_one_row_or_column(make_gated_pixelcnn, shape):
    check_sampler(model_of(make_gated_pixelcnn, shape, 4, None, dilations=[1, 2]))


@pytest.mark.parametrize("num_classes", [None, 3])
def test_made(make_made, num_classes):
    check_sampler(model_of(make_made, (2, 5), 4, num_classes, ensemble=3, random_order=True, num_masks=3))
