"""A linear-Gaussian chain of two layers, whose likelihood and posterior are known in closed form, in float64."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal

from genexp.families.layered_vae import LayeredVAE
from genexp.families.vae import VAE
from genexp.networks.mlp import MLPDecoder, MLPEncoder
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import Bernoulli, Normal

DIMS, LATENT, SIGMA, RATIO = 5, 3, 0.7, 0.6
SETTINGS = {"beta": 1.0, "k": 1, "kl_warmup_images": 0, "free_bits": 0.0, "chunk": 10_000, "temperature": 1.0}


class Affine(torch.nn.Module):
    """N(A v + b, exp(log_std)^2) as encoders give it, mean and log standard deviation side by side, or as decoders do, in an
    axis of their own; notes how many v it was given at once."""

    def __init__(self, matrix, shift, log_std, axis):
        super().__init__()
        self.matrix, self.shift, self.log_std = (torch.nn.Parameter(p) for p in (matrix, shift, log_std))
        self.axis, self.calls = axis, []

    def forward(self, v, y):
        self.calls.append(len(v))
        mean = v @ self.matrix.T + self.shift
        return self.axis([mean, self.log_std.expand_as(mean)], dim=1)


def parts():
    """p(h2) = N(0, I), p(h1|h2) = N(D Q h2, (r D)^2), p(x|h1) = N(W h1 + b, sigma^2) with D diagonal, Q orthogonal and W of
    orthogonal columns: then p(h1|x) and p(h2|h1) have diagonal covariance, so that q can be exact."""
    draws = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(LATENT, LATENT, generator=draws)).Q
    widths = torch.tensor([0.5, 1.0, 1.7])
    basis = torch.linalg.qr(torch.randn(DIMS, LATENT, generator=draws)).Q
    return widths, widths[:, None] * rotation, basis * torch.tensor([0.4, 1.2, 2.0]), torch.randn(DIMS, generator=draws)


@pytest.fixture
def make_chain(float64):
    """``wrong`` moves q away from the true posterior."""

    def make(wrong=0.0, **changes):
        widths, above, matrix, centre = parts()
        marginal = widths**2 * (1 + RATIO**2)  # variance of h1
        precision = 1 / marginal + (matrix**2).sum(0) / SIGMA**2
        gain = matrix.T / SIGMA**2 / precision[:, None]
        ratio = 1 / RATIO**2  # of the precision of p(h1|h2) to D^-2
        up = above.T / (RATIO * widths) ** 2 / (1 + ratio)
        networks = [
            Affine(gain, wrong - gain @ centre, wrong - 0.5 * precision.log(), torch.cat),
            Affine(
                up, torch.full((LATENT,), wrong), torch.full((LATENT,), wrong - 0.5 * math.log(1 + ratio)), torch.cat
            ),
            Affine(matrix, centre, torch.full((DIMS,), math.log(SIGMA)), torch.stack),
            Affine(above, torch.zeros(LATENT), (RATIO * widths).log(), torch.stack),
        ]
        factories = [lambda network=network, **sizes: network for network in networks]
        return LayeredVAE(
            shape=(DIMS,),
            levels=None,
            num_classes=None,
            conditional=False,
            latent_dims=[LATENT, LATENT],
            encoders=factories[:2],
            decoders=factories[2:],
            observation=partial(Normal, min_log_std=-5.0),
            **SETTINGS | changes,
        )

    return make


def truth():
    """The exact p(x)."""
    widths, above, matrix, centre = parts()
    marginal = above @ above.T + torch.diag((RATIO * widths) ** 2)
    return MultivariateNormal(centre, matrix @ marginal @ matrix.T + SIGMA**2 * torch.eye(DIMS))


@pytest.mark.parametrize("k", [1, 5, 50])
def test_at_the_true_posterior_every_bound_is_the_likelihood(make_chain, k):
    x = 2 * torch.randn(7, DIMS)
    with torch.no_grad():
        assert torch.allclose(make_chain().bound(x, k=k), truth().log_prob(x), rtol=1e-12)


def test_bounds_grow_with_k_towards_the_likelihood(make_chain):
    model, n = make_chain(wrong=0.3), 8000
    x = truth().sample((4,))
    with torch.no_grad():
        values = {k: model.bound(x.repeat(n, 1), k=k).view(n, 4) for k in (1, 5, 50)}
    exact, mean = truth().log_prob(x), {k: value.mean(0) for k, value in values.items()}
    error = {k: value.std(0) / n**0.5 for k, value in values.items()}
    assert (mean[1] < mean[5] - 4 * error[1]).all()
    assert (mean[5] < mean[50] - 4 * error[5]).all()
    assert (mean[50] < exact + 4 * error[50]).all()
    assert (exact - mean[50] < 0.15 * (exact - mean[1])).all()


def test_the_losses_are_those_of_the_bounds(make_chain):
    n = 20_000
    x = truth().sample().expand(n, -1)
    for k in (1, 5):
        model = make_chain(wrong=0.3, k=k)
        with torch.no_grad():
            losses = model.loss(x)
            pairs = [(losses["elbo"], model.bound(x)), (-losses["loss"], model.bound(x, k=k))]
        for value, expected in pairs:
            assert abs(value.mean() - expected.mean()) < 4 * ((value.var() + expected.var()) / n) ** 0.5
    exact = make_chain(k=5)
    assert torch.allclose(-exact.loss(x[:3])["loss"], truth().log_prob(x[:3]))


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_and_its_warm_up_weigh_the_rate(make_chain, beta):
    model, x = make_chain(wrong=0.3, beta=beta, kl_warmup_images=1000), torch.randn(5, DIMS)
    for seen, warm in ((0, 0.0), (250, 0.25), (1000, 1.0), (5000, 1.0)):
        model.images_seen = seen
        for training, weight in ((True, beta * warm), (False, beta)):
            losses = model.train(training).loss(x)
            assert torch.allclose(losses["loss"], losses["distortion"] + weight * losses["rate"])
            assert torch.allclose(losses["elbo"], -losses["distortion"] - losses["rate"])


@pytest.mark.parametrize("chunk", [1, 9, 12])
def test_memory_does_not_grow_with_k_and_chunks_do_not_change_the_bound(make_chain, monkeypatch, chunk):
    k, batch = 11, 4
    pool, x, values = torch.randn(k, batch, 2 * LATENT), torch.randn(batch, DIMS), []
    for size in (10_000, chunk):
        drawn = 0

        def randn(n, *rest, **options):
            nonlocal drawn
            drawn += n
            return pool[drawn - n : drawn]

        model = make_chain(wrong=0.3, chunk=size)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", randn)
            values.append(model.bound(x, k=k))
    assert torch.allclose(*values, rtol=1e-12)
    assert max(model.decoder_1.calls) <= max(chunk, batch) and sum(model.decoder_1.calls) == k * batch
    values[1].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_samples_and_reconstructions_have_the_moments_of_the_model(make_chain):
    model = make_chain()
    torch.manual_seed(1)
    x = model.sample(50_000)
    for data in (x, model.reconstruct(x)):  # q is exact: x' is as x
        assert torch.allclose(data.mean(0), truth().mean, atol=0.06)
        assert torch.allclose(data.T.cov(), truth().covariance_matrix, atol=0.25)
    assert (model.reconstruct(x) - x).var() < x.var()
    torch.manual_seed(2)
    means = model.sample(50_000, temperature=0)
    assert torch.allclose(means.T.cov() + SIGMA**2 * torch.eye(DIMS), truth().covariance_matrix, atol=0.25)


def pair(kind, k):
    """One layer, and the flat VAE of the same weights."""
    networks = []

    def shared(network, **sizes):
        networks.append(network(hidden=[7], activation=torch.nn.Tanh(), initialisation=None, **sizes))
        return networks[-1]

    shape, levels, observation = (1, 4, 3), 2, Bernoulli
    if kind == "continuous":
        shape, levels, observation = (6,), None, partial(Normal, min_log_std=-5.0)
    labelled = kind == "conditional"
    common = {"shape": shape, "levels": levels, "num_classes": 3, "conditional": labelled, "observation": observation}
    common |= SETTINGS | {"k": k, "chunk": 14}
    layered = LayeredVAE(
        latent_dims=[2], encoders=[partial(shared, MLPEncoder)], decoders=[partial(shared, MLPDecoder)], **common
    )
    flat = VAE(
        latent_dim=2,
        encoder=lambda **_: networks[0],
        decoder=lambda **_: networks[1],
        posterior=partial(DiagonalGaussian, log_std_range=None),
        prior=StandardNormal,
        doubly_reparameterised=False,
        **common,
    )
    x = torch.randint(2, (5, *shape)).to(torch.uint8) if levels else torch.randn(5, *shape)
    return layered, flat, x, torch.tensor([0, 1, 2, 1, 0]) if labelled else None


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("kind", ["binary", "conditional", "continuous"])
def test_one_layer_is_the_flat_vae(float64, kind, k):
    layered, flat, x, y = pair(kind, k)
    results = []
    for model in (layered, flat):
        torch.manual_seed(0)
        losses = model.loss(x, y)
        results.append([*losses.items(), *((f"bound {n}", model.bound(x, y, k=n)) for n in (1, 7))])
        results[-1] += [("sample", model.sample(5, y)), ("reconstruction", model.reconstruct(x, y))]
    for (name, value), (same, expected) in zip(*results, strict=True):
        assert name == same and torch.allclose(value, expected, rtol=1e-12), name


def test_the_label_reaches_every_network(float64):
    """A label that nothing else tells apart changes the distribution of every layer."""
    mlp = {"hidden": [6], "activation": torch.nn.Tanh(), "initialisation": None}
    model = LayeredVAE(
        shape=(1, 2, 2),
        levels=2,
        num_classes=3,
        conditional=True,
        latent_dims=[3, 2, 2],
        encoders=[partial(MLPEncoder, **mlp)] * 3,
        decoders=[partial(MLPDecoder, **mlp)] * 3,
        observation=Bernoulli,
        **SETTINGS,
    )
    x, y = torch.zeros(2, 1, 2, 2), torch.tensor([0, 2])
    below, above = (x, torch.zeros(2, 3), torch.zeros(2, 2)), (torch.zeros(2, 2),) * 2
    given = [model.posterior(i + 1, v, y) for i, v in enumerate(below)]
    given += [model.prior(i + 1, v, y) for i, v in enumerate(above)] + [(model.decoder_1(torch.zeros(2, 3), y),)]
    assert len(given) == 6 and not any(torch.allclose(part[0], part[1]) for pair in given for part in pair)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"beta": -1.0}, "beta=-1.0: must be at least 0"),
        ({"k": 0}, "k=0: must be at least 1"),
        ({"kl_warmup_images": -1}, "kl_warmup_images=-1: must be at least 0"),
        ({"chunk": 0}, "chunk=0: must be at least 1"),
        ({"temperature": -1.0}, "temperature=-1.0: must be at least 0"),
        ({"k": 5, "beta": 2.0}, "k=5: .* set beta 1"),
        ({"k": 5, "kl_warmup_images": 10}, "k=5: .* kl_warmup_images 0"),
    ],
)
def test_impossible_settings_are_refused(make_chain, change, line):
    with pytest.raises(ValueError, match=line):
        make_chain(**change)
    with pytest.raises(ValueError, match="k=0"):
        make_chain().bound(torch.zeros(1, DIMS), k=0)
    with pytest.raises(ValueError, match="temperature=-1"):
        make_chain().sample(2, temperature=-1)


@pytest.mark.parametrize(
    ("dims", "line"),
    [([], "latent_dims=.*at least one"), ([2, 0], "latent_dims="), ([2, 2, 2], "encoders: there are 2")],
)
def test_every_layer_has_its_networks(make_chain, monkeypatch, dims, line):
    original = LayeredVAE.__init__
    monkeypatch.setattr(LayeredVAE, "__init__", lambda self, **given: original(self, **given | {"latent_dims": dims}))
    with pytest.raises(ValueError, match=line):
        make_chain()
