import pytest
import torch

from genexp.networks.blocks.base import Block
from genexp.networks.latent.residual import ResidualDecoder, ResidualEncoder, stages


def common(shape, num_classes=0, **changes):
    defaults = {"channels": 2, "blocks": 1, "activation": torch.nn.SiLU(), "initialisation": None}
    return defaults | {"shape": shape, "num_classes": num_classes} | changes


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)], ids=str)
def test_shapes(shape, num_classes):
    x, z = torch.rand(2, *shape), torch.randn(2, 5)
    y = torch.tensor([1, 2]) if num_classes else None
    encoder = ResidualEncoder(num_params=10, **common(shape, num_classes))
    decoder = ResidualDecoder(latent_dim=5, num_params=17, **common(shape, num_classes))
    assert encoder(x, y).shape == (2, 10) and decoder(z, y).shape == (2, 17, *shape)
    if num_classes:
        assert not torch.equal(encoder(x, y), encoder(x, y - 1)) and not torch.equal(decoder(z, y), decoder(z, y - 1))


@pytest.mark.parametrize(("side", "resolutions"), [(8, 2), (28, 3), (32, 4), (64, 5)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_blocks_stand_at_every_resolution(side, resolutions, blocks):
    assert stages((1, side, side), 4, blocks)[0] == [4 * 2**i for i in range(resolutions)]
    sizes = common((1, side, side), blocks=blocks)
    for network in (ResidualEncoder(num_params=6, **sizes), ResidualDecoder(latent_dim=3, num_params=2, **sizes)):
        assert sum(isinstance(module, Block) for module in network.modules()) == blocks * resolutions


def test_everything_is_connected():
    """Every pixel of the input moves every output, every element of z every pixel; examples are strangers."""
    torch.manual_seed(0)
    sizes = common((1, 28, 28), channels=4)
    x = torch.rand(3, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(ResidualEncoder(num_params=6, **sizes)(x)[1].sum(), x)
    assert (gradient[1] != 0).all() and not gradient[0].any() and not gradient[2].any()
    decoder = ResidualDecoder(latent_dim=3, num_params=1, **sizes)
    z = torch.zeros(3)
    moved = torch.stack([(decoder((z + e)[None]) - decoder(z[None]))[0, 0, 0] for e in 9 * torch.eye(3)])
    assert (moved != 0).all()


@pytest.mark.parametrize("change", [{"channels": 0}, {"blocks": 0}, {"shape": (1, 9, 9)}], ids=str)
def test_impossible_networks_are_refused(change):
    (name,) = change
    sizes = common((1, 8, 8)) | change
    for make in (ResidualEncoder, lambda **sizes: ResidualDecoder(latent_dim=3, **sizes)):
        with pytest.raises(ValueError, match=f"{name}="):
            make(num_params=1, **sizes)
