"""A tiny PixelVAE with one latent dimension, whose likelihood quadrature gives, in float64."""

from functools import partial

import pytest
import torch

from genexp.families.autoregressive import Autoregressive
from genexp.families.pixel_vae import PixelVAE
from genexp.families.vae import VAE
from genexp.networks.autoregressive.gated_pixelcnn import GatedPixelCNN
from genexp.networks.autoregressive.pixelcnn_pp import PixelCNNpp
from genexp.networks.latent.pixel_vae_decoder import AutoregressiveDecoder
from genexp.networks.mlp import MLPDecoder, MLPEncoder
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import Bernoulli, Categorical

SHAPE, LEVELS = (1, 2, 3), 2
MLP = {"hidden": [5], "activation": torch.nn.Tanh(), "initialisation": None}


def network(**sizes):
    return GatedPixelCNN(channels=4, first_kernel=3, kernel=3, dilations=[1], head_channels=4, **sizes)


def autoregressive(**sizes):
    settings = {"features": 4, "hidden": [5], "activation": torch.nn.Tanh()}
    return AutoregressiveDecoder(decoder=lambda **s: MLPDecoder(**MLP, **s), network=network, **settings, **sizes)


@pytest.fixture
def make(float64):
    def build(kind=PixelVAE, num_classes=None, latent_dim=1, **changes):
        torch.manual_seed(0)
        settings = {"beta": 1.0, "k": 1, "kl_warmup_images": 0, "chunk": 10_000, "temperature": 1.0}
        settings |= {"free_bits": 0.0, "doubly_reparameterised": False, "prior": StandardNormal}
        settings["posterior"] = partial(DiagonalGaussian, log_std_range=None)
        settings |= {"shape": SHAPE, "levels": LEVELS, "observation": Categorical, "decoder": autoregressive} | changes
        model = kind(
            num_classes=num_classes,
            conditional=num_classes is not None,
            encoder=lambda **s: MLPEncoder(**MLP, **s),
            latent_dim=latent_dim,
            **settings,
        )
        with torch.no_grad():
            for network, scale in ((model.encoder, 0.5), (model.decoder, 0.7)):
                for parameter in network.parameters():
                    parameter.normal_(0, scale)
        return model

    return build


def given(model, x, z, y=None):
    """log p(x | z) of all x ``(N, *shape)`` and z ``(M, latent_dim)``: ``(M, N)``."""
    labels = None if y is None else torch.full((len(x),), y)
    with torch.no_grad():
        return model.log_conditional(x, z.repeat_interleave(len(x), 0), labels).view(len(z), len(x))


def exact(model, x):
    """log p(x) by the trapezoidal rule over z: ``(N,)``."""
    z = torch.linspace(-8, 8, 2001)[:, None]
    weights = torch.distributions.Normal(0.0, 1.0).log_prob(z) + torch.log(z[1] - z[0])
    return (given(model, x, z) + weights).logsumexp(0)


@pytest.mark.parametrize("num_classes", [None, 2])
def test_probabilities_given_z_sum_to_one_over_all_images(make, all_examples, num_classes):
    model, x, z = make(num_classes=num_classes, latent_dim=3), all_examples(SHAPE, LEVELS), torch.randn(5, 3)
    values = [given(model, x, z, y) for y in ([None] if num_classes is None else range(num_classes))]
    for value in values:
        assert torch.allclose(value.logsumexp(1), torch.zeros(()), atol=1e-12)
        assert value.std() > 0.1 and (value.std(0) > 0.01).all()  # both x and z matter
    assert len(values) == 1 or not torch.allclose(*values)


def test_images_of_several_levels_and_channels(make, all_examples):
    shape = (2, 1, 2)
    model = make(shape=shape, levels=3, latent_dim=2)
    value = given(model, all_examples(shape, 3), torch.randn(3, 2))
    assert torch.allclose(value.logsumexp(1), torch.zeros(()), atol=1e-12)


def test_bounds_grow_with_k_towards_the_likelihood(make, all_examples):
    model, n, x = make(), 2000, all_examples(SHAPE, LEVELS)[[0, 9, 30, 63]]
    truth = exact(model, x)
    assert exact(model, all_examples(SHAPE, LEVELS)).logsumexp(0).abs() < 1e-9
    with torch.no_grad():
        values = {k: model.bound(x.repeat(n, 1, 1, 1), k=k).view(n, 4) for k in (1, 5, 50)}
    mean = {k: v.mean(0) for k, v in values.items()}
    error = {k: v.std(0) / n**0.5 for k, v in values.items()}
    assert (mean[1] < mean[5] - 4 * error[1]).all() and (mean[5] < mean[50] - 4 * error[5]).all()
    assert (mean[50] < truth + 4 * error[50]).all() and (truth - mean[50] < 0.1 * (truth - mean[1])).all()


def test_the_network_of_x_runs_once_for_all_draws_of_z(make, all_examples):
    model, seen, x = make(), [], all_examples(SHAPE, LEVELS)[[5, 6, 12]]
    z, repeated = torch.randn(6, 1), x.repeat(2, 1, 1, 1)
    with torch.no_grad():
        pairs = zip(repeated.split(1), z.split(1), strict=True)
        single = torch.cat([model.log_conditional(*pair) for pair in pairs])
        model.decoder.network.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
        assert torch.allclose(model.log_conditional(x, z), single, rtol=1e-10)
        model.bound(x, k=40)
    assert seen == [3, 3]


def test_samples_follow_the_probabilities(make, all_examples):
    model, n, x = make(), 40_000, all_examples(SHAPE, LEVELS)
    z = torch.tensor([[0.8]])
    expected = given(model, x, z)[0].exp()
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = model.decode(z.expand(n, 1), None)
    codes = (drawn.flatten(1).long() * 2 ** torch.arange(5, -1, -1)).sum(1)
    found = torch.bincount(codes, minlength=64) / n
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt() + 5 / n).all()
    with torch.no_grad():
        mode = model.decode(z, None, temperature=0.0)
    assert mode.shape == (1, *SHAPE) and mode.dtype == torch.uint8


def test_temperature_0_takes_the_mean_of_each_conditional(make):
    model = make(latent_dim=2)
    z = 3 * torch.randn(20, 2)
    with torch.no_grad():
        x = model.decode(z, None, temperature=0.0)
        params = model.decoder(z, None, x.double())
        assert torch.equal(model.observation.mean(params), x) and len(x.unique(dim=0)) > 1
        assert torch.equal(model.decode(z, None, temperature=1e-6), x)


@pytest.mark.parametrize("num_classes", [None, 2])
def test_the_mean_given_z_is_that_over_all_images(make, all_examples, monkeypatch, num_classes):
    monkeypatch.setattr(PixelVAE, "draws_of_mean", 20_000)
    model, x, z = make(num_classes=num_classes, latent_dim=2), all_examples(SHAPE, LEVELS), 2 * torch.randn(2, 2)
    y = None if num_classes is None else torch.tensor([1, 1])
    with torch.no_grad():
        expected = given(model, x, z, None if y is None else 1).exp() @ x.flatten(1).double()
        found = model.conditional_mean(z, y)
    assert found.dtype == z.dtype and found.shape == (2, *SHAPE)
    assert torch.allclose(found.flatten(1), expected, atol=5 * 0.5 / 20_000**0.5)
    assert (expected[0] - expected[1]).abs().max() > 0.05


def test_without_a_network_of_x_it_is_the_plain_vae(make, all_examples):
    """And without z the autoregressive model: the bound is exact where the posterior is the prior."""
    x = all_examples(SHAPE, LEVELS)[::7]
    model, values = make(latent_dim=3), []

    class Plain(torch.nn.Module):
        def forward(self, z, y):
            return model.decoder.head(model.decoder.decoder(z, y).flatten(2)).view(-1, LEVELS, *SHAPE)

    plain = make(kind=VAE, latent_dim=3, decoder=lambda **sizes: Plain())
    plain.encoder = model.encoder
    with torch.no_grad():
        for parameter in model.decoder.network.parameters():
            parameter.zero_()
        for one in (model, plain):
            torch.manual_seed(1)
            values.append(one.bound(x, k=5))
    assert torch.allclose(*values, rtol=1e-10)

    model = make(latent_dim=3)
    with torch.no_grad():
        for parameter in (*model.decoder.decoder.parameters(), *model.encoder.parameters()):
            parameter.zero_()
        bound = model.bound(x, k=3)
    explicit = make_autoregressive(model)
    assert torch.allclose(bound, explicit.log_prob(x), rtol=1e-10)


def make_autoregressive(model):
    """The autoregressive model of the same network of x and head."""

    class WithHead(GatedPixelCNN):
        def forward(self, x, y=None, order=0):
            return model.decoder.head(model.decoder.network(x).flatten(2)).view(-1, LEVELS, *SHAPE)

    def make_network(**sizes):
        return WithHead(channels=4, first_kernel=3, kernel=3, dilations=[1], head_channels=4, **sizes)

    sizes = {"shape": SHAPE, "levels": LEVELS, "num_classes": None, "conditional": False}
    return Autoregressive(network=make_network, observation=Categorical, ensemble=1, validation_ensemble=1, **sizes)


def test_training_uses_z_where_the_network_of_x_cannot_see(make):
    """Images that are all 0 or all 1 at random, the first pixel of which only z can tell: the bound nears log(1/2)."""
    model = make(latent_dim=1, observation=Bernoulli)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x = torch.tensor([0, 1]).repeat(16).view(-1, 1, 1, 1).expand(-1, *SHAPE).to(torch.uint8)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(x)["loss"].mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert model.bound(x, k=100).mean() > -1.0


def test_the_network_of_x_is_told_the_levels(make):
    assert make(levels=5).decoder.network.levels == 5


def test_network_and_observation_draw_together(make):
    def pixels(**sizes):
        return PixelCNNpp(filters=2, resnets=1, downsamplings=0, dropout=0.0, **sizes)

    def decoder(**sizes):
        settings = {"features": 2, "hidden": [], "activation": torch.nn.Tanh()}
        return AutoregressiveDecoder(decoder=lambda **s: MLPDecoder(**MLP, **s), network=pixels, **settings, **sizes)

    with pytest.raises(ValueError, match="Categorical joins 1 channels of a pixel, PixelCNNpp draws 3 together"):
        make(decoder=decoder, shape=(3, 4, 4))
