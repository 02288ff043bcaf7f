"""Shapes of the VQ-VAE's networks, what reaches what, and data that do not fit."""

import pytest
import torch

from genexp.networks.latent.vq_grid import GridDecoder, GridEncoder

SIZES = {"channels": 4, "halvings": 2, "blocks": 1}


@pytest.mark.parametrize(("shape", "grid"), [((1, 28, 28), (7, 7)), ((3, 32, 32), (8, 8)), ((1, 8, 12), (2, 3))])
def test_images_become_grids_and_grids_images(shape, grid):
    encoder = GridEncoder(shape=shape, latent_dim=5, num_classes=3, **SIZES)
    decoder = GridDecoder(shape=shape, latent_dim=5, num_params=2, num_classes=3, **SIZES)
    assert encoder.grid == decoder.grid == grid
    y = torch.tensor([0, 2])
    z = encoder(torch.rand(2, *shape), y)
    assert z.shape == (2, 5, *grid) and decoder(z, y).shape == (2, 2, *shape)


def test_the_parameters_of_a_channel_are_not_those_of_another():
    """Axis 1 is the parameter, axis 2 the channel, in the sequence of the last layer's outputs."""
    decoder = GridDecoder(shape=(3, 8, 8), latent_dim=2, num_params=2, num_classes=0, **SIZES)
    with torch.no_grad():
        decoder.layers[-1].weight.zero_()
        decoder.layers[-1].bias.copy_(torch.arange(6))
    assert decoder(torch.randn(1, 2, 2, 2))[0, :, :, 4, 5].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("classes", [0, 3])
def test_labels_matter_if_and_only_if_there_are_some(classes):
    torch.manual_seed(0)
    encoder = GridEncoder(shape=(1, 8, 8), latent_dim=2, num_classes=classes, **SIZES)
    decoder = GridDecoder(shape=(1, 8, 8), latent_dim=2, num_params=1, num_classes=classes, **SIZES)
    for network, x in ((encoder, torch.rand(1, 1, 8, 8)), (decoder, torch.randn(1, 2, 2, 2))):
        a, b = (network(x, torch.tensor([label])) for label in (0, 2))
        assert torch.equal(a, b) == (classes == 0)


def test_data_that_do_not_fit_are_refused():
    for shape, message in (((180,), "models images"), ((1, 30, 28), "multiples of 4")):
        with pytest.raises(ValueError, match=message):
            GridEncoder(shape=shape, latent_dim=2, num_classes=0, **SIZES)
    with pytest.raises(ValueError, match="halvings=0"):
        GridDecoder(shape=(1, 8, 8), latent_dim=2, num_params=1, num_classes=0, channels=4, halvings=0, blocks=1)
