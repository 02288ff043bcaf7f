import pytest
import torch
from torch import nn

from genexp.networks.blocks.conditional_norm import ConditionalBatchNorm
from genexp.networks.convolutional import ConvDecoder, ConvDiscriminator, ConvEncoder, ConvGenerator, pyramid

GENERATOR = {"levels": 256, "dense": [], "conditional_batch_norm": False, "slope": 0.0}
DISCRIMINATOR = {"num_outputs": 1, "dense": [], "projection": False, "spectral_norm": False, "slope": 0.2}

PYRAMIDS = {
    8: ([3, 4], 4),
    10: ([3, 4], 5),
    12: ([3, 4], 6),
    28: ([3, 4, 8], 7),
    32: ([3, 4, 8, 16], 4),
    64: ([3, 4, 8, 16, 32], 4),
}


@pytest.mark.parametrize("side", PYRAMIDS)
def test_the_side_is_halved_while_it_can_be(side):
    assert pyramid((3, side, side), 4) == PYRAMIDS[side]


@pytest.mark.parametrize("shape", [(1, 28, 32), (1, 6, 6), (1, 9, 9), (1, 66, 66), (180,), (28, 28)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"data\.shape=.*square images"):
        pyramid(shape, 4)


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)], ids=str)
def test_shapes(shape, batch_norm, num_classes):
    common = {"shape": shape, "channels": 2, "batch_norm": batch_norm, "initialisation": None}
    common["num_classes"] = num_classes
    x, z = torch.rand(2, *shape), torch.randn(2, 5)
    y = torch.tensor([1, 2]) if num_classes else None
    assert ConvEncoder(num_params=10, slope=0.2, **common)(x, y).shape == (2, 10)
    assert ConvDiscriminator(**DISCRIMINATOR | {"num_outputs": 11}, **common)(x, y).shape == (2, 11)
    assert ConvDecoder(latent_dim=5, num_params=17, **common)(z, y).shape == (2, 17, *shape)
    image = ConvGenerator(latent_dim=5, **GENERATOR, **common)(z, y)
    assert image.shape == (2, *shape) and image.abs().max() <= 1


def test_everything_is_connected():
    """Every pixel of the input moves the discriminator, every element of z every pixel of the output."""
    common = {
        "shape": (1, 28, 28),
        "channels": 4,
        "num_classes": 0,
        "batch_norm": False,
        "initialisation": None,
    }
    x = torch.rand(1, 1, 28, 28, requires_grad=True)
    torch.manual_seed(0)
    (gradient,) = torch.autograd.grad(ConvDiscriminator(**DISCRIMINATOR, **common)(x).sum(), x)
    assert (gradient != 0).all()
    generator = ConvGenerator(latent_dim=3, **GENERATOR, **common)
    z = torch.zeros(3)
    moved = torch.stack([(generator((z + e)[None]) - generator(z[None]))[0, 0] for e in 9 * torch.eye(3)])
    assert (moved != 0).all()


def test_examples_of_a_batch_are_strangers_without_batch_norm():
    common = {
        "shape": (1, 8, 8),
        "channels": 4,
        "num_classes": 0,
        "batch_norm": False,
        "initialisation": None,
    }
    network = ConvEncoder(num_params=4, slope=0.2, **common)
    x = torch.rand(3, 1, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[1].sum(), x)
    assert gradient[1].any() and not gradient[0].any() and not gradient[2].any()


def make_generator(**changes):
    sizes = {"shape": (1, 8, 8), "latent_dim": 2, "channels": 2, "num_classes": 0, "batch_norm": True}
    return ConvGenerator(**sizes | GENERATOR | {"initialisation": None} | changes)


def test_impossible_generators_are_refused():
    with pytest.raises(ValueError, match="model=gan"):
        make_generator(levels=None)
    with pytest.raises(ValueError, match="conditional_batch_norm=true needs batch_norm=true"):
        make_generator(conditional_batch_norm=True, batch_norm=False)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("side", PYRAMIDS)
def test_the_label_enters_by_the_input_or_by_the_normalisation(side, conditional):
    torch.manual_seed(0)
    changes = {"num_classes": 3, "dense": [6], "conditional_batch_norm": conditional}
    generator = make_generator(shape=(2, side, side), **changes)
    layers = [layer for layer in generator.modules() if isinstance(layer, ConditionalBatchNorm)]
    assert len(layers) == (len(PYRAMIDS[side][0]) if conditional else 0)
    assert generator.layers[0].in_features == (2 if conditional else 5)
    for layer in layers:
        nn.init.normal_(layer.gain)
    z, y = torch.randn(6, 2), torch.arange(6) % 3
    image = generator(z, y)
    (image * torch.randn(image.shape)).sum().backward()
    assert image.shape == (6, 2, side, side) and all(p.grad.any() for p in generator.parameters())
    assert (generator(z, (y + 1) % 3) != image).flatten(1).any(1).all()
    unconditional = make_generator(**changes | {"num_classes": 0})
    assert not any(isinstance(layer, ConditionalBatchNorm) for layer in unconditional.modules())


def count(network):
    return [p.numel() for p in network.parameters()]


def test_the_networks_of_infogan_layer_by_layer():
    """fc1024 - fc7x7x128 - deconv64 - deconv1, and conv64 - conv128 - fc1024 - fc1, batch normalisation in all but the first and
    the last of the discriminator and the last of the generator (Chen et al. 2016, appendix C.1)."""
    common = {"shape": (1, 28, 28), "channels": 64, "num_classes": 0, "batch_norm": True, "initialisation": None}
    generator = ConvGenerator(latent_dim=62, **common, **GENERATOR | {"dense": [1024]})
    assert count(generator) == [
        *(62 * 1024, 1024, 1024),
        *(1024 * 6272, 6272, 128, 128),
        *(128 * 64 * 16, 64, 64),
        *(64 * 16, 1),
    ]
    discriminator = ConvDiscriminator(**common, **DISCRIMINATOR | {"dense": [1024]})
    assert count(discriminator) == [
        *(64 * 16, 64),
        *(64 * 128 * 16, 128, 128),
        *(6272 * 1024, 1024, 1024),
        *(1024, 1),
    ]
    assert generator(torch.randn(3, 62)).shape == (3, 1, 28, 28)
    assert discriminator(torch.rand(3, 1, 28, 28)).shape == (3, 1)
    kinds = [type(layer) for layer in discriminator.layers]
    assert kinds[-4:] == [nn.Linear, nn.BatchNorm1d, nn.LeakyReLU, nn.Linear]


def test_the_generators_slope():
    torch.manual_seed(0)
    leaky = make_generator(slope=0.2)
    z = torch.randn(4, 2)
    rectified = make_generator()
    rectified.load_state_dict(leaky.state_dict())
    assert not torch.allclose(leaky(z), rectified(z))
    for i, layer in enumerate(rectified.layers):
        if isinstance(layer, nn.LeakyReLU):
            leaky.layers[i] = nn.ReLU()
    assert torch.equal(leaky(z), rectified(z))
