"""The sampler that reuses earlier steps equals whole forward passes, element by element, under one seed."""

import pytest
import torch

from genexp.families.autoregressive import Autoregressive
from genexp.probability.observation import Categorical

PIXELCNNS = [
    {"dilations": []},
    {"dilations": [1, 2]},
    {"first_kernel": 5, "kernel": 5, "dilations": [3, 1]},
    {"first_kernel": 7, "dilations": [1, 4]},
]


def check(make, shape, num_classes, ensemble=1, **network):
    model = Autoregressive(
        shape=shape,
        levels=4,
        num_classes=num_classes,
        conditional=num_classes is not None,
        network=lambda **sizes: make(**sizes, **network),
        observation=Categorical,
        ensemble=ensemble,
        validation_ensemble=1,
    )
    y = None if num_classes is None else torch.arange(6) % num_classes
    seen = {True: [], False: []}
    draw = model.observation.sample
    samples = {}
    for incremental, steps in seen.items():
        model.observation.sample = lambda p, t, steps=steps: (steps.append(p), draw(p, t))[1]
        torch.manual_seed(3)
        samples[incremental] = model.sample(6, y, incremental=incremental)
    assert torch.equal(samples[True], samples[False])
    assert len(seen[True]) == len(seen[False]) >= model.dims
    for fast, full in zip(seen[True], seen[False], strict=True):
        assert torch.allclose(fast, full, rtol=1e-10, atol=1e-12)
    assert len(samples[True].unique()) > 1


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize("network", PIXELCNNS, ids=str)
def test_pixelcnn(make_pixelcnn, network, num_classes):
    check(make_pixelcnn, (1, 5, 6), num_classes, **network)


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 5, 1)])
def test_pixelcnn_of_one_row_or_column(make_pixelcnn, shape):
    check(make_pixelcnn, shape, None, dilations=[1, 2])


@pytest.mark.parametrize("num_classes", [None, 3])
def test_made(make_made, num_classes):
    check(make_made, (2, 5), num_classes, ensemble=3, random_order=True, num_masks=3)
