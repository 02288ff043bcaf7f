"""Tiny autoregressive networks, as the configs would make them."""

import pytest
import torch
from checks import randomise

from genexp.networks.autoregressive.gated_pixelcnn import GatedPixelCNN
from genexp.networks.autoregressive.made import MADE


@pytest.fixture
def make_made(float64):
    def make(shape, num_params, num_classes=0, **changes):
        defaults = {
            "levels": None,
            "hidden": [7],
            "activation": torch.nn.Tanh(),
            "random_order": False,
            "num_masks": 1,
            "mask_seed": 0,
            "direct": True,
            "initialisation": None,
        }
        network = MADE(shape=shape, num_params=num_params, num_classes=num_classes, **defaults | changes)
        return randomise(network, 1.0)

    return make


@pytest.fixture
def make_gated_pixelcnn(float64):
    def make(shape, num_params, num_classes=0, **changes):
        defaults = {
            "levels": None,
            "channels": 8,
            "first_kernel": 3,
            "kernel": 3,
            "dilations": [1],
            "head_channels": 24,
        }
        network = GatedPixelCNN(shape=shape, num_params=num_params, num_classes=num_classes, **defaults | changes)
        return randomise(network, 0.3)

    return make
