"""A VAE with every posterior and prior: the bounds of a linear-Gaussian model in float64, and the configs on tiny data."""

import math
from functools import partial
from importlib.resources import files

import pytest
import torch
from torch.distributions import MultivariateNormal

from genexp.families.vae import VAE
from genexp.networks.latent.iaf_made import ContextMADE
from genexp.networks.mlp import MLPDecoder, MLPEncoder
from genexp.probability.latent.flow_posteriors import IAF, Planar
from genexp.probability.latent.posteriors import DiagonalGaussian, FullCovariance, SoftplusGaussian
from genexp.probability.latent.priors import GaussianMixture, StandardNormal, VampPrior
from genexp.probability.observation.base import Normal
from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate

DIMS, LATENT, SIGMA = 4, 2, 0.8
BASE = partial(DiagonalGaussian, log_std_range=None)
STEP = partial(ContextMADE, hidden=[8], activation=torch.nn.Tanh(), mask_seed=None, initialisation=None)
POSTERIORS = {
    "diagonal": BASE,
    "softplus": partial(SoftplusGaussian, log_std_range=None),
    "full": partial(FullCovariance, log_diagonal_range=None),
    "planar": partial(Planar, base=BASE, depth=2, amortised=True),
    "shared-planar": partial(Planar, base=BASE, depth=2, amortised=False),
    "iaf": partial(IAF, base=BASE, depth=2, context_dim=3, step=STEP, gate_bias=1.0),
}


class LinearDecoder(torch.nn.Module):
    """p(x | z) = N(W z, sigma^2)."""

    def __init__(self):
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.randn(DIMS, LATENT))

    def forward(self, z, y):
        mean = z @ self.matrix.T
        return torch.stack([mean, torch.full_like(mean, math.log(SIGMA))], dim=1)


def make_vae(posterior, prior=StandardNormal, encoder=None, conditional=False, **options):
    torch.manual_seed(0)
    settings = {"k": 1, "doubly_reparameterised": False, "free_bits": 0.0} | options
    mlp = {"hidden": [8], "activation": torch.nn.Tanh(), "initialisation": None}
    return VAE(
        shape=(DIMS,),
        levels=None,
        num_classes=3,
        conditional=conditional,
        encoder=encoder or partial(MLPEncoder, **mlp),
        decoder=partial(MLPDecoder, **mlp) if conditional else lambda **sizes: LinearDecoder(),
        observation=lambda levels: Normal(levels, min_log_std=-5.0),
        posterior=posterior,
        prior=prior,
        latent_dim=LATENT,
        beta=1.0,
        kl_warmup_images=0,
        temperature=1.0,
        chunk=100_000,
        **settings,
    )


def likelihood(model, x):
    """The exact log p(x) under a prior N(0, I)."""
    matrix = model.decoder.matrix.detach()
    return MultivariateNormal(torch.zeros(DIMS), matrix @ matrix.T + SIGMA**2 * torch.eye(DIMS)).log_prob(x)


@pytest.mark.parametrize("posterior", POSTERIORS.values(), ids=POSTERIORS)
def test_bounds_grow_with_k_towards_the_likelihood(float64, posterior):
    model, n = make_vae(posterior), 3_000
    x = torch.randn(1, DIMS)
    exact = likelihood(model, x)
    with torch.no_grad():
        values = {k: model.bound(x.expand(n, -1), k=k) for k in (1, 5, 50)}
        elbo = model.loss(x.expand(n, -1))["elbo"]
    mean = {k: value.mean() for k, value in values.items()}
    error = {k: value.std() / n**0.5 for k, value in values.items()}
    assert mean[1] < mean[5] - 4 * error[1] and mean[5] < mean[50] - 4 * error[5]
    assert mean[50] < exact + 4 * error[50] and exact - mean[50] < 0.5 * (exact - mean[1])
    assert abs(elbo.mean() - mean[1]) < 4 * (error[1] ** 2 + elbo.var() / n) ** 0.5


def test_a_full_covariance_can_be_the_true_posterior(float64):
    """Every bound is then the likelihood, which a diagonal posterior does not reach."""
    made = {}

    class Exact(torch.nn.Module):
        def __init__(self, **sizes):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, y):
            matrix = made["model"].decoder.matrix
            covariance = torch.linalg.inv(torch.eye(LATENT) + matrix.T @ matrix / SIGMA**2)
            factor = torch.linalg.cholesky(covariance)
            mean = x @ matrix @ covariance / SIGMA**2
            rest = torch.cat([factor.diagonal().log(), factor[1:, 0]]).expand(len(x), -1)
            return torch.cat([mean, rest], dim=1)

    made["model"] = model = make_vae(POSTERIORS["full"], encoder=Exact)
    x = torch.randn(7, DIMS)
    for k in (1, 5):
        assert torch.allclose(model.bound(x, k=k), likelihood(model, x))
    losses = model.loss(x)
    z, log_q = model.infer(x)
    posterior_ratio = model.log_prior(z[0]) + model.log_conditional(x, z[0]) - log_q[0]
    assert torch.allclose(posterior_ratio, likelihood(model, x))
    assert torch.allclose(losses["rate"], model.posterior.rate(model.encode(x))) and model.latent_rates(x) is None


@pytest.mark.parametrize("posterior", ["full", "iaf"])
def test_free_bits_hold_for_the_sum_where_only_this_is_known(float64, posterior):
    def make(free_bits):
        model = make_vae(POSTERIORS[posterior], free_bits=free_bits)
        with torch.no_grad():
            model.encoder.layers[-1].bias += 2  # a rate well above 0
        torch.manual_seed(1)
        return model.loss(x)

    x = torch.randn(6, DIMS)
    plain = make(0.0)
    rate = plain["rate"].mean().item()
    assert rate > 1
    for free, expected in ((rate + 1, torch.full((6,), rate + 1)), (rate - 1, plain["rate"])):
        losses = make(free)
        assert torch.allclose(losses["loss"] - losses["distortion"], expected)
        assert torch.allclose(losses["rate"], plain["rate"])  # the same draws


@pytest.mark.parametrize("posterior", ["planar", "iaf"])
@pytest.mark.parametrize(
    "options",
    [{"prior": partial(VampPrior, components=3, mean=0.5, std=0.1)}, {"doubly_reparameterised": True, "k": 2}],
    ids=["vamp", "double"],
)
def test_what_needs_a_density_at_every_z_refuses_flows(posterior, options):
    with pytest.raises(ValueError, match=r"posterior whose density is known at every z, which (Planar|IAF) is not"):
        make_vae(POSTERIORS[posterior], **options)


def test_a_vamp_prior_has_no_labels():
    with pytest.raises(ValueError, match=r"conditional=true: .* without labels"):
        make_vae(BASE, prior=partial(VampPrior, components=3, mean=0.5, std=0.1), conditional=True)


@pytest.mark.parametrize(
    "prior",
    [partial(VampPrior, components=3, mean=0.5, std=0.1), partial(GaussianMixture, components=3, initial_spread=1.0)],
    ids=["vamp", "mixture"],
)
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_bounds_under_another_prior_lie_below_the_likelihood(float64, prior, posterior):
    """log p(x) by quadrature over z; and the ELBO of the loss is that of the bound."""
    model, n = make_vae(POSTERIORS[posterior], prior=prior), 3_000
    x = torch.randn(1, DIMS)
    line = torch.linspace(-8, 8, 201)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        joint = model.log_prior(grid) + model.log_conditional(x.expand(len(grid), -1), grid)
        exact = torch.trapezoid(torch.trapezoid(joint.exp().view(201, 201), line), line).log()
        values = {k: model.bound(x.expand(n, -1), k=k) for k in (1, 50)}
        elbo = model.loss(x.expand(n, -1))["elbo"]
    error = {k: value.std() / n**0.5 for k, value in values.items()}
    assert values[1].mean() < values[50].mean() - 4 * error[1] and values[50].mean() < exact + 4 * error[50]
    assert exact - values[50].mean() < 0.5 * (exact - values[1].mean())
    assert abs(elbo.mean() - values[1].mean()) < 4 * (error[1] ** 2 + elbo.var() / n) ** 0.5


# --- the configs ---------------------------------------------------------------------------------------


def options(group):
    return sorted(file.name[:-5] for file in (files("genexp.conf") / "model" / group).iterdir())


OPTIONS = [(group, name) for group in ("posterior", "prior") for name in options(group)]


@pytest.fixture
def config_with(compose_train):
    def make(k=1, **chosen):
        return compose_train(
            "model=vae", "data=digits", f"model.k={k}", *(f"model/{group}={name}" for group, name in chosen.items())
        )

    return make


@pytest.mark.parametrize(("group", "name"), OPTIONS)
@pytest.mark.parametrize("k", [1, 3])
def test_every_option_trains_samples_and_repeats(config_with, group, name, k):
    def make(seed):
        torch.manual_seed(seed)
        return instantiate(config_with(k, **{group: name}), "model", [])

    model, other = make(0), make(1)
    x = torch.randint(17, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    losses = model.train().loss(x)
    assert all(value.shape == (5,) and torch.isfinite(value).all() for value in losses.values())
    losses["loss"].sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    other.load_state_dict(model.state_dict())
    drawn = []
    for one in (model, other):
        torch.manual_seed(2)
        drawn.append(one.sample(3))
        assert torch.isfinite(one.bound(x, k=4)).all()
    assert torch.equal(*drawn)


def test_what_does_not_go_together_is_said_in_one_line(config_with):
    with pytest.raises(ConfigError, match="choose model/posterior=diagonal_gaussian or full_covariance"):
        instantiate(config_with(prior="vamp", posterior="iaf"), "model", [])


def test_decoders_of_many_levels_have_logistics_no_wider_than_the_uniform_distribution(compose_train):
    """Those of PixelCNN++, and of runs that were recorded before there was a bound, have none."""
    for choice in ("auto", "logistic_mixture"):
        config = compose_train("model=vae", "data=mnist", f"model/observation={choice}")
        assert instantiate(config, "model", []).observation.max_log_scale == pytest.approx(-math.log(math.pi), abs=1e-4)
        del config.model.observation.max_log_scale
        assert instantiate(config, "model", []).observation.max_log_scale is None
    assert compose_train("model=pixelcnn_pp", "data=cifar10").model.observation.max_log_scale is None
