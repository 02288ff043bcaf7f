"""What the discriminators of a GAN have in common: logits, projection, spectral normalisation."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from genexp.networks.adversarial.resnet_gan import ResNetDiscriminator
from genexp.networks.blocks.maxout import Maxout
from genexp.networks.convolutional import ConvDiscriminator
from genexp.networks.mlp import MLPDiscriminator

SHAPE = (2, 8, 8)
MAKERS = {
    "mlp": partial(MLPDiscriminator, hidden=[6, 5], activation=nn.Softplus()),
    "maxout": partial(MLPDiscriminator, hidden=[6, 5], activation=Maxout(3)),
    "conv": partial(ConvDiscriminator, channels=4, dense=[], batch_norm=False, slope=0.2),
    "dense": partial(ConvDiscriminator, channels=4, dense=[7], batch_norm=False, slope=0.2),
    "resnet": partial(
        ResNetDiscriminator,
        channels=4,
        down_blocks=2,
        plain_blocks=1,
        sum_pooling=True,
        block_initialisation=None,
    ),
}
every_network = pytest.mark.parametrize("name", MAKERS)


def make(name, num_classes=3, num_outputs=1, projection=False, spectral_norm=False, initialisation=None, seed=0):
    torch.manual_seed(seed)
    return MAKERS[name](
        shape=SHAPE,
        num_classes=num_classes,
        num_outputs=num_outputs,
        projection=projection,
        spectral_norm=spectral_norm,
        initialisation=initialisation,
    )


def batch(n=5):
    torch.manual_seed(1)
    return torch.rand(n, *SHAPE) * 2 - 1, torch.arange(n) % 3


@every_network
@pytest.mark.parametrize("num_outputs", [1, 4])
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_logits(name, projection, spectral_norm, num_outputs):
    x, y = batch()
    options = {"num_outputs": num_outputs, "projection": projection, "spectral_norm": spectral_norm}
    network = make(name, **options)
    logits = network(x, y)
    assert logits.shape == (5, num_outputs)
    (logits * torch.randn(5, num_outputs)).sum().backward()
    assert all(p.grad.any() for p in network.parameters())
    network.eval()
    moved = network(x, y) != network(x, (y + 1) % 3)
    assert moved[:, 0].all()  # a projection moves nothing else
    assert moved[:, 1:].any() == (not projection and num_outputs > 1)
    assert make(name, num_classes=0, **options)(x).shape == (5, num_outputs)


@every_network
def test_examples_are_strangers(name, float64):
    x, y = batch()
    network = make(name, projection=True, spectral_norm=True).eval()
    assert torch.allclose(network(x, y)[1:3], network(x[1:3], y[1:3]))


@every_network
def test_the_projection_by_hand(float64, name):
    """f(x, y) = psi(phi(x)) + v_y' phi(x), phi what the last layer psi receives."""
    x, y = batch()
    network, seen = make(name, num_outputs=2, projection=True), []
    psi = network.output if name == "resnet" else network.layers[-1]
    psi.register_forward_hook(lambda _, inputs, out: seen.append((*inputs, out)))
    logits = network(x, y)
    ((phi, plain),) = seen
    v = network.projection.embedding.weight
    for i, k in enumerate(y):
        assert torch.allclose(logits[i, 0], plain[i, 0] + v[k] @ phi[i])
    assert torch.equal(logits[:, 1], plain[:, 1])


def test_the_projection_is_initialised_as_the_rest():
    for name in MAKERS:
        network = make(name, projection=True, initialisation=partial(nn.init.constant_, val=0.5))
        assert (network.projection.embedding.weight == 0.5).all()


def normalised(network):
    """The weights as the layers use them, as matrices."""
    return {
        name: layer.weight.flatten(1)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }


@every_network
def test_the_largest_singular_value_is_one(float64, name):
    plain = normalised(make(name, projection=True))
    network = make(name, projection=True, spectral_norm=True)
    for _ in range(400):
        normalised(network)  # one iteration for each weight
    network.eval()
    weights = normalised(network)
    assert weights.keys() == plain.keys() and len(weights) >= 3
    for key, weight in weights.items():
        assert torch.linalg.svdvals(weight)[0].item() == pytest.approx(1, abs=1e-3), key
        assert torch.allclose(weight * torch.linalg.svdvals(plain[key])[0], plain[key], rtol=1e-2, atol=1e-4), key


@every_network
def test_spectral_normalisation_is_saved_and_copied(name):
    x, y = batch()
    network = make(name, projection=True, spectral_norm=True)
    network(x, y)
    copied, loaded = copy.deepcopy(network), make(name, projection=True, spectral_norm=True, seed=1)
    assert not torch.equal(loaded(x, y), network(x, y))
    copied(x, y)  # another iteration in each of them
    loaded.load_state_dict(network.state_dict())
    for training in (False, True, False):
        networks = [one.train(training) for one in (network, copied, loaded)]
        logits = [one(x, y) for one in networks]
        assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])


@every_network
def test_gradient_penalties_reach_every_weight(float64, name):
    """The gradient with respect to x can be differentiated again, through spectral normalisation, too."""
    x, y = batch()
    network = make(name, projection=True, spectral_norm=True)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(network(x, y).sum(), x, create_graph=True)
    gradient.flatten(1).norm(dim=1).sum().backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(n.endswith("bias") for n in missing), missing
