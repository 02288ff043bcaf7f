import pytest
import torch

from genexp.networks.adversarial.style_layers import double
from genexp.networks.adversarial.stylegan2 import MappingNetwork, StyleGenerator

LAYERS = {8: 4, 16: 6, 28: 6, 32: 8, 48: 8, 64: 10}


def make(shape=(1, 8, 8), num_classes=0, **changes):
    defaults = {
        "levels": 256,
        "latent_dim": 5,
        "w_dim": 6,
        "mapping_layers": 2,
        "mapping_multiplier": 0.01,
        "mean_decay": 0.9,
        "channels": 4,
        "max_channels": 8,
        "mixing_probability": 0.0,
    }
    torch.manual_seed(0)
    network = StyleGenerator(shape=shape, num_classes=num_classes, **{**defaults, **changes})
    for conv in network.synthesis.convs:
        torch.nn.init.constant_(conv.noise_strength, 0.3)
    return network


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", LAYERS)
def test_shapes(side, channels, num_classes):
    network, z = make((channels, side, side), num_classes), torch.randn(2, 5)
    y = torch.tensor([1, 2]) if num_classes else None
    assert network.synthesis.num_layers == LAYERS[side]
    assert network.mapping(z, y).shape == (2, 6)
    assert network.styles(z, y).shape == (2, LAYERS[side], 6)
    assert network(z, y).shape == (2, channels, side, side)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_every_parameter_gets_a_gradient(num_classes, float64):
    network = make((1, 28, 28), num_classes, mixing_probability=0.5)
    y = torch.tensor([0, 1, 2]) if num_classes else None
    network(torch.randn(3, 5), y).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_every_layer_has_its_own_w(float64):
    """A shared w is one repeated for each layer, and each layer moves the image; no other example ever does."""
    network, w = make((1, 28, 28)), torch.randn(2, 6)
    repeated = w[:, None].repeat(1, 6, 1).requires_grad_()
    image = network.synthesis(repeated, noise=False)
    assert torch.equal(image, network.synthesis(w, noise=False))
    (gradient,) = torch.autograd.grad(image[1].square().sum(), repeated)
    assert gradient[1].any(1).all() and not gradient[0].any()


def test_the_image_is_a_sum_over_resolutions(float64):
    network, w = make((3, 28, 28)), torch.randn(2, 6)
    coarse, *finer = network.synthesis.to_image
    for to_image in finer:
        torch.nn.init.zeros_(to_image.weight)
    seen = []
    coarse.register_forward_hook(lambda _, __, out: seen.append(out))
    image = network.synthesis(w)
    assert seen[0].shape == (2, 3, 7, 7) and torch.allclose(image, double(double(seen[0])))


# --- z to w ---------------------------------------------------------------------------------------------


def test_the_length_of_z_does_not_matter(float64):
    network, z = make(), torch.randn(4, 5)
    assert torch.allclose(network.mapping(z), network.mapping(3 * z))
    assert not torch.allclose(network.mapping(z), network.mapping(-z))


def test_labels_change_w(float64):
    network, z = make(num_classes=3), torch.randn(1, 5).expand(3, 5)
    w = network.mapping(z, torch.arange(3))
    assert (torch.cdist(w, w) > 1e-3).sum() == 6


def test_the_running_mean_of_w_by_hand(float64):
    network = make()
    mapping, batches = network.mapping, torch.randn(2, 7, 5)
    first, second = (mapping.eval()(z) for z in batches)
    assert not mapping.w_mean.any()
    mapping.train()
    for z in batches:
        mapping(z)
    assert torch.allclose(mapping.w_mean, 0.9 * 0.1 * first.mean(0) + 0.1 * second.mean(0))
    assert not mapping.w_mean.requires_grad


def test_the_running_mean_converges():
    mapping = make(mean_decay=0.99).mapping
    with torch.no_grad():
        for _ in range(1000):
            mapping(torch.randn(64, 5))
        w = mapping.eval()(torch.randn(50_000, 5))
    assert torch.allclose(mapping.w_mean, w.mean(0), atol=0.05)
    assert w.mean(0).abs().max() > 0.2


def test_truncation_ends_in_the_mean_image(float64):
    network = make()
    for _ in range(20):
        network.mapping(torch.randn(8, 5))
    mapping, w = network.mapping, network.eval().styles(torch.randn(3, 5))
    middle = network.synthesis(mapping.w_mean[None], noise=False)
    images = network.synthesis(mapping.truncate(w, 0), noise=False)
    assert torch.allclose(images, middle.expand(3, -1, -1, -1))
    assert torch.allclose(mapping.truncate(w, 1), w)
    assert torch.allclose(mapping.truncate(w, 0.3), mapping.w_mean + 0.3 * (w - mapping.w_mean))
    assert not torch.allclose(network.synthesis(mapping.truncate(w, 0.5), noise=False), middle)


# --- style mixing ---------------------------------------------------------------------------------------


def test_mixed_examples_have_two_w(float64):
    network = make((1, 28, 28), num_classes=3, mixing_probability=1.0)
    z, y = torch.randn(200, 5), torch.randint(3, (200,))
    styles = network.styles(z, y)
    own = network.mapping(z, y)
    is_own = torch.isclose(styles, own[:, None]).all(2)
    starts = is_own.sum(1)
    assert torch.equal(is_own, torch.arange(6) < starts[:, None])  # own first, the other from ``starts`` on
    assert starts.unique().tolist() == [1, 2, 3, 4, 5]
    assert torch.equal(styles[:, -1:].expand(-1, 6, -1)[~is_own], styles[~is_own])


def test_how_many_are_mixed(float64):
    network = make(mixing_probability=0.3)
    z = torch.randn(2000, 5)
    styles = network.styles(z)
    mixed = (styles[:, 0] != styles[:, -1]).any(1)
    assert mixed.double().mean().item() == pytest.approx(0.3, abs=0.04)
    network.eval()
    assert torch.equal(network.styles(z), network.mapping(z)[:, None].expand(-1, 4, -1))
    network = make(mixing_probability=0.0)
    assert torch.equal(network.styles(z), network.mapping(z)[:, None].expand(-1, 4, -1))


# --- the whole ------------------------------------------------------------------------------------------


def test_noise_is_drawn_from_the_generator_of_torch(float64):
    network, z = make().eval(), torch.randn(2, 5)
    torch.manual_seed(1)
    first, second = network(z), network(z)
    torch.manual_seed(1)
    assert torch.equal(network(z), first) and not torch.allclose(first, second)
    w = network.styles(z)
    assert torch.equal(network.synthesis(w, noise=False), network.synthesis(w, noise=False))


def test_the_state_brings_everything_back(float64):
    network, other = make(num_classes=3), make(num_classes=3, mean_decay=0.5)
    z, y = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    network(z, y)
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    other.load_state_dict(network.state_dict())
    assert other.mapping.w_mean.any()
    draws = [n.synthesis(n.mapping.truncate(n.styles(z, y), 0.5), noise=False) for n in (network.eval(), other.eval())]
    assert torch.equal(*draws)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mapping_layers": 0}, "mapping_layers=0"),
        ({"mean_decay": 1.0}, r"mean_decay=1\.0"),
        ({"mixing_probability": 1.5}, r"mixing_probability=1\.5"),
        ({"shape": (1, 9, 9)}, "square images"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


def test_a_mapping_of_the_paper_has_outputs_of_about_unit_size():
    torch.manual_seed(0)
    mapping = MappingNetwork(latent_dim=64, num_classes=0, w_dim=64, layers=8, multiplier=0.01, mean_decay=0.995)
    assert mapping(torch.randn(500, 64)).square().mean().item() == pytest.approx(1, abs=0.5)
