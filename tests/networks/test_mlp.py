import pytest
import torch

from genexp.networks.initialisation import initialise
from genexp.networks.mlp import MLPDecoder, MLPDiscriminator, MLPEncoder, MLPGenerator


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)], ids=str)
def test_shapes(shape, num_classes):
    common = {"shape": shape, "hidden": [6], "activation": torch.nn.ReLU(), "initialisation": None}
    common["num_classes"] = num_classes
    x, z = torch.rand(2, *shape), 100 * torch.randn(2, 5)
    y = torch.tensor([1, 2]) if num_classes else None
    assert MLPEncoder(num_params=10, **common)(x, y).shape == (2, 10)
    assert MLPDiscriminator(**common)(x, y).shape == (2,)
    assert MLPDecoder(latent_dim=5, num_params=17, **common)(z, y).shape == (2, 17, *shape)
    for levels, bounded in ((256, True), (None, False)):
        out = MLPGenerator(latent_dim=5, levels=levels, **common)(z, y)
        assert out.shape == (2, *shape) and bool(out.abs().max() <= 1) == bounded


def test_initialisation_sets_weights_and_zeroes_biases():
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    initialise(network, torch.nn.init.orthogonal_)
    weight = network[0].weight
    assert torch.allclose(weight @ weight.T, torch.eye(4), atol=1e-6)
    assert not network[0].bias.any() and not network[2].bias.any()
    assert torch.equal(network[1].weight, torch.ones(4))
