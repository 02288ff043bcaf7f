import pytest
import torch

from genexp.networks.convolutional import ConvDecoder, ConvDiscriminator, ConvEncoder, ConvGenerator, pyramid

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
    assert ConvDiscriminator(slope=0.2, **common)(x, y).shape == (2,)
    assert ConvDecoder(latent_dim=5, num_params=17, **common)(z, y).shape == (2, 17, *shape)
    image = ConvGenerator(latent_dim=5, levels=256, **common)(z, y)
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
    (gradient,) = torch.autograd.grad(ConvDiscriminator(slope=0.2, **common)(x).sum(), x)
    assert (gradient != 0).all()
    generator = ConvGenerator(latent_dim=3, levels=2, **common)
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


def test_the_generator_needs_levels():
    with pytest.raises(ValueError, match="model=gan"):
        ConvGenerator(
            shape=(1, 8, 8),
            levels=None,
            latent_dim=2,
            channels=2,
            num_classes=0,
            batch_norm=False,
            initialisation=None,
        )
