"""Decoders autoregressive in x: causal, normalised, and drawn from without recomputation."""

import itertools

import pytest
import torch
from checks import before, dependence, randomise

from genexp.networks.autoregressive.base import AutoregressiveNetwork
from genexp.networks.autoregressive.gated_pixelcnn import GatedPixelCNN
from genexp.networks.autoregressive.made import MADE
from genexp.networks.autoregressive.pixelcnn_pp import PixelCNNpp
from genexp.networks.latent.pixel_vae_decoder import AutoregressiveDecoder
from genexp.networks.mlp import MLPDecoder

LATENT = 3


def gated_pixelcnn(**sizes):
    return GatedPixelCNN(channels=8, first_kernel=5, kernel=3, dilations=[1, 1], head_channels=24, **sizes)


def made(**sizes):
    settings = {"hidden": [30], "activation": torch.nn.Tanh(), "random_order": True, "num_masks": 1, "mask_seed": 0}
    return MADE(direct=True, initialisation=None, **settings, **sizes)


def pixelcnn_pp(**sizes):
    return PixelCNNpp(filters=4, resnets=1, downsamplings=0, dropout=0.0, **sizes)


def plain(**sizes):
    return MLPDecoder(hidden=[7], activation=torch.nn.Tanh(), initialisation=None, **sizes)


@pytest.fixture
def make(float64):
    def build(network, shape, num_params=2, num_classes=0, levels=None, **changes):
        settings = {"features": 5, "hidden": [6], "activation": torch.nn.Tanh()} | changes
        sizes = {"shape": shape, "latent_dim": LATENT, "num_params": num_params, "num_classes": num_classes}
        sizes["levels"] = levels
        return randomise(AutoregressiveDecoder(decoder=plain, network=network, **settings, **sizes), 0.4)

    return build


NETWORKS = [(gated_pixelcnn, (1, 4, 4)), (gated_pixelcnn, (2, 3, 3)), (made, (9,)), (pixelcnn_pp, (2, 3, 3))]
every_network = pytest.mark.parametrize("network, shape", NETWORKS, ids=["gated", "gated-2", "made", "pixelcnn_pp-2"])


class GivenZ(AutoregressiveNetwork):
    """The decoder at given z, as a network of x."""

    def __init__(self, decoder, z):
        super().__init__(decoder.network.shape, decoder.head[-1].out_channels, decoder.network.levels)
        self.inner, self.z, self.group = decoder, z, decoder.group

    def forward(self, x, y=None, order=0):
        return self.inner(self.z, y, x)

    def permutation(self, order=0):
        return self.inner.network.permutation(order)


@every_network
def test_causality(make, network, shape):
    decoder = make(network, shape)
    found = dependence(GivenZ(decoder, torch.randn(2, LATENT)))
    allowed = before(decoder.network.dims)[:: decoder.group]
    for b in range(2):
        assert torch.equal(found[b, :, b] > 0, allowed) and (found[b, :, 1 - b] == 0).all()


@every_network
def test_every_conditional_depends_on_z_of_its_own_example(make, network, shape):
    decoder, z = make(network, shape), torch.randn(2, LATENT, requires_grad=True)
    params = decoder(z, None, torch.rand(2, *shape)).flatten(2)
    for b, d in itertools.product(range(2), range(params.shape[2])):
        (gradient,) = torch.autograd.grad(params[b, :, d].sum(), z, retain_graph=True)
        assert (gradient[b] != 0).all() and not gradient[1 - b].any()


@pytest.mark.parametrize("num_classes", [0, 3])
@every_network
def test_steps_equal_whole_passes(make, network, shape, num_classes):
    decoder, n = make(network, shape, num_classes=num_classes), 4
    z, y = torch.randn(n, LATENT), torch.arange(n) % num_classes if num_classes else None
    x = torch.rand(n, *shape)
    order, group = decoder.network.permutation(), decoder.group
    canvas = x.flatten(1)[:, order]
    with torch.no_grad():
        whole = decoder(z, y, x).flatten(2)[:, :, order[::group]]
        for incremental in (True, False):
            step = decoder.sampler(z, y, incremental)
            for t in range(len(order) // group):
                blind = canvas.clone()
                blind[:, t * group :] = 7.0  # what is not drawn yet
                assert torch.allclose(step(blind, t), whole[:, :, t], rtol=1e-9, atol=1e-11)


@every_network
def test_many_z_for_each_x(make, network, shape):
    """Row i of z goes with row i mod B of x."""
    decoder = make(network, shape, num_classes=3)
    z, x, y = torch.randn(6, LATENT), torch.rand(2, *shape), torch.tensor([0, 2]).repeat(3)
    repeated = decoder(z, y, x.repeat(3, *[1] * len(shape)))
    assert torch.allclose(decoder(z, y, x), repeated, rtol=1e-10)


def test_without_the_network_of_x_the_dimensions_are_independent(make):
    decoder = make(gated_pixelcnn, (1, 4, 4))
    with torch.no_grad():
        for parameter in decoder.network.parameters():
            parameter.zero_()
    z, x = torch.randn(2, LATENT), torch.rand(2, 1, 4, 4)
    expected = decoder.head(decoder.decoder(z).flatten(2)).view(2, 2, 1, 4, 4)
    assert torch.equal(decoder(z, None, x), expected) and torch.equal(decoder(z, None, 1 - x), expected)


def test_impossible_decoders_are_refused(make):
    with pytest.raises(ValueError, match="features=0"):
        make(made, (4,), features=0)
    several = {"hidden": [4], "activation": torch.nn.Tanh(), "random_order": False, "mask_seed": 0, "direct": False}
    for masks, many in ((3, "3"), (None, "all")):
        with pytest.raises(ValueError, match=f"MADE trains {many} orders"):
            make(lambda m=masks, **sizes: MADE(num_masks=m, initialisation=None, **several, **sizes), (4,))
