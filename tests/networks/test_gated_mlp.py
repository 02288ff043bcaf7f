import pytest
import torch

from genexp.networks.mlp import ConditionalMLP, MLPDecoder, MLPEncoder


def common(shape, num_classes=0, **changes):
    return {
        "shape": shape,
        "hidden": [6],
        "activation": torch.nn.GLU(dim=1),
        "num_classes": num_classes,
        "initialisation": None,
    } | changes


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)], ids=str)
def test_shapes(shape, num_classes):
    x, z = torch.rand(2, *shape), torch.randn(2, 5)
    y = torch.tensor([1, 2]) if num_classes else None
    encoder = MLPEncoder(num_params=10, **common(shape, num_classes))
    decoder = MLPDecoder(latent_dim=5, num_params=17, **common(shape, num_classes))
    assert encoder(x, y).shape == (2, 10) and decoder(z, y).shape == (2, 17, *shape)
    if num_classes:
        assert not torch.equal(encoder(x, y), encoder(x, y - 1)) and not torch.equal(decoder(z, y), decoder(z, y - 1))


def test_a_layer_is_a_product_of_a_linear_map_and_a_gate(float64):
    network = ConditionalMLP(
        in_features=3, out_features=2, hidden=[4], activation=torch.nn.GLU(dim=1), num_classes=0, initialisation=None
    )
    x, (first, _, last) = torch.randn(5, 3), network.layers
    (w, v), (b, c) = first.weight.chunk(2), first.bias.chunk(2)
    hidden = (x @ w.T + b) * torch.sigmoid(x @ v.T + c)
    assert torch.allclose(network(x), hidden @ last.weight.T + last.bias)


def test_the_initialisation_of_the_authors(compose_train):
    """Weights of variance 2 / (number of inputs), in all layers."""
    from genexp.record.instantiate import instantiate

    model = instantiate(compose_train("model=vae_gated", "data=mnist_binary"), "model", [])
    for network, widths in ((model.encoder, [784, 300, 300]), (model.decoder, [40, 300, 300])):
        matrices = [p for p in network.parameters() if p.ndim == 2]
        assert [m.shape[1] for m in matrices] == widths
        for matrix in matrices:
            assert matrix.std().item() == pytest.approx((2 / matrix.shape[1]) ** 0.5, rel=0.03)
