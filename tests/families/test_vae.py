"""A linear-Gaussian VAE, whose likelihood and posterior are known in closed form, in float64."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.distributions import Normal as Reference

from genexp.families.vae import VAE
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import Bernoulli, Normal

DIMS, LATENT, SIGMA = 6, 4, 0.7


class LinearEncoder(torch.nn.Module):
    """q(z | x) = N(A (x - b) + shift, exp(log_std)^2)."""

    def __init__(self, matrix, centre, shift, log_std):
        super().__init__()
        self.matrix, self.centre = torch.nn.Parameter(matrix), centre
        self.shift, self.log_std = shift, log_std

    def forward(self, x, y):
        mean = (x - self.centre) @ self.matrix.T + self.shift
        return torch.cat([mean, self.log_std.expand_as(mean)], dim=1)


class LinearDecoder(torch.nn.Module):
    """p(x | z) = N(W z + b, sigma^2); notes how many z it was given at once."""

    def __init__(self, matrix, centre):
        super().__init__()
        self.matrix, self.centre, self.calls = torch.nn.Parameter(matrix), centre, []

    def forward(self, z, y):
        self.calls.append(len(z))
        mean = z @ self.matrix.T + self.centre
        return torch.stack([mean, torch.full_like(mean, math.log(SIGMA))], dim=1)


@pytest.fixture
def make_vae(float64):
    """With orthogonal columns of W the true posterior is diagonal; ``wrong`` moves q away from it."""

    def make(wrong=0.0, beta=1.0, k=1, kl_warmup_images=0, chunk=10_000, temperature=1.0, free_bits=0.0, double=False):
        torch.manual_seed(0)
        basis = torch.linalg.qr(torch.randn(DIMS, LATENT)).Q
        matrix, centre = basis * torch.tensor([0.3, 0.8, 1.3, 2.0]), torch.randn(DIMS)
        precision = 1 + (matrix**2).sum(0) / SIGMA**2
        encoder = LinearEncoder(
            matrix.T / SIGMA**2 / precision[:, None],
            centre,
            shift=wrong,
            log_std=wrong - 0.5 * precision.log(),
        )
        return VAE(
            shape=(DIMS,),
            levels=None,
            num_classes=None,
            conditional=False,
            encoder=lambda shape, num_params, num_classes: encoder,
            decoder=lambda shape, latent_dim, num_params, num_classes: LinearDecoder(matrix, centre),
            observation=lambda levels: Normal(levels, min_log_std=-5.0),
            posterior=partial(DiagonalGaussian, log_std_range=None),
            prior=StandardNormal,
            latent_dim=LATENT,
            beta=beta,
            k=k,
            kl_warmup_images=kl_warmup_images,
            free_bits=free_bits,
            doubly_reparameterised=double,
            temperature=temperature,
            chunk=chunk,
        )

    return make


def truth(model):
    """The exact p(x)."""
    matrix = model.decoder.matrix.detach()
    return MultivariateNormal(model.decoder.centre, matrix @ matrix.T + SIGMA**2 * torch.eye(DIMS))


def gaussian(model, x):
    """Mean and log standard deviation of q(z | x)."""
    return model.posterior.split(model.encode(x))


@pytest.mark.parametrize("k", [1, 5, 50])
def test_at_the_true_posterior_every_bound_is_the_likelihood(make_vae, k):
    model = make_vae()
    x = 2 * torch.randn(7, DIMS)
    assert torch.allclose(model.bound(x, k=k), truth(model).log_prob(x), rtol=1e-12)


def test_bounds_grow_with_k_towards_the_likelihood(make_vae):
    model, n = make_vae(wrong=0.3), 20_000
    x = truth(model).sample((5,))
    exact = truth(model).log_prob(x)
    repeated = x.repeat(n, 1)
    with torch.no_grad():
        values = {k: model.bound(repeated, k=k).view(n, 5) for k in (1, 5, 50)}
    mean = {k: value.mean(0) for k, value in values.items()}
    error = {k: value.std(0) / n**0.5 for k, value in values.items()}
    assert (mean[1] < mean[5] - 4 * error[1]).all()
    assert (mean[5] < mean[50] - 4 * error[5]).all()
    assert (mean[50] < exact + 4 * error[50]).all()
    assert (exact - mean[50] < 0.1 * (exact - mean[1])).all()
    # and the gap of the ELBO is KL(q(z|x) || p(z|x)), in closed form
    right, wrong = (Reference(m, s.exp()) for m, s in (gaussian(make_vae(), x), gaussian(model, x)))
    gap = kl_divergence(wrong, right).sum(1)
    assert ((exact - mean[1] - gap).abs() < 4 * error[1]).all()


def test_the_memory_of_the_bound_does_not_grow_with_k(make_vae):
    model = make_vae(wrong=0.3, chunk=64)
    with torch.no_grad():
        model.bound(torch.randn(10, DIMS), k=5000)
    assert max(model.decoder.calls) <= 64 and sum(model.decoder.calls) == 50_000


@pytest.mark.parametrize("chunk", [1, 9, 12, 20])
def test_chunks_do_not_change_the_bound(make_vae, monkeypatch, chunk):
    """The same draws, whether all at once or a few at a time."""
    pool, k, batch = torch.randn(11, 4, LATENT), 11, 4
    x = torch.randn(batch, DIMS)
    values = []
    for size in (10_000, chunk):
        position = 0

        def randn(n, *rest, **options):
            nonlocal position
            position += n
            return pool[position - n : position]

        model = make_vae(wrong=0.3, chunk=size)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", randn)
            values.append(model.bound(x, k=k))
        assert position == k
    assert torch.allclose(*values, rtol=1e-12)


def test_the_bound_has_the_gradient_of_its_own_weights(make_vae):
    model = make_vae(wrong=0.3, chunk=8)
    model.bound(torch.randn(3, DIMS), k=7).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_rate_is_the_divergence_from_the_prior(make_vae):
    model, x = make_vae(wrong=0.2), torch.randn(5, DIMS)
    mean, log_std = gaussian(model, x)
    q, prior = Reference(mean, log_std.exp()), Reference(0.0, 1.0)
    rate = model.loss(x)["rate"]
    assert torch.allclose(rate, kl_divergence(q, prior).sum(1))
    z = q.sample((50_000,))
    drawn = (q.log_prob(z) - prior.log_prob(z)).sum(-1)
    assert ((drawn.mean(0) - rate).abs() < 4 * drawn.std(0) / 50_000**0.5).all()


def test_the_elbo_of_the_loss_is_an_elbo(make_vae):
    model, n = make_vae(wrong=0.3), 20_000
    x = truth(model).sample()
    elbo, bound = model.loss(x.expand(n, -1))["elbo"], model.bound(x.expand(n, -1))
    error = (elbo.var() / n + bound.var() / n) ** 0.5
    assert abs(elbo.mean() - bound.mean()) < 4 * error


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_beta_and_its_warm_up_weigh_the_rate(make_vae, beta):
    model, x = make_vae(wrong=0.3, beta=beta, kl_warmup_images=1000), torch.randn(5, DIMS)
    for seen, warm in ((0, 0.0), (250, 0.25), (1000, 1.0), (5000, 1.0)):
        model.images_seen = seen
        for training, weight in ((True, beta * warm), (False, beta)):
            losses = model.train(training).loss(x)
            assert torch.allclose(losses["loss"], losses["distortion"] + weight * losses["rate"])
            assert torch.allclose(losses["elbo"], -losses["distortion"] - losses["rate"])
    assert make_vae(beta=beta).kl_weight == beta  # no warm-up


def test_the_bound_ignores_beta(make_vae):
    values, x = [], torch.randn(5, DIMS)
    for beta in (0.0, 4.0):
        torch.manual_seed(1)
        values.append(make_vae(beta=beta, wrong=0.3).bound(x, k=3))
    assert torch.equal(*values)


def test_samples_and_reconstructions_have_the_moments_of_the_model(make_vae):
    model = make_vae()
    torch.manual_seed(1)
    x = model.sample(50_000)
    assert x.dtype == torch.float64
    assert torch.allclose(x.mean(0), truth(model).mean, atol=0.05)
    assert torch.allclose(x.T.cov(), truth(model).covariance_matrix, atol=0.15)
    again = model.reconstruct(x)
    centred, residual = x - x.mean(0), again - x
    assert torch.allclose(again.T.cov(), truth(model).covariance_matrix, atol=0.15)  # q exact: x' is as x
    assert residual.var() < 2 * centred.var() and not again.requires_grad


@pytest.mark.parametrize(
    "change",
    [{"beta": -1.0}, {"k": 0}, {"kl_warmup_images": -1}, {"chunk": 0}, {"temperature": -1.0}, {"free_bits": -1.0}],
    ids=str,
)
def test_impossible_settings_are_refused(make_vae, change):
    (name,) = change
    with pytest.raises(ValueError, match=f"{name}=.*must be at least"):
        make_vae(**change)
    with pytest.raises(ValueError, match="k=0"):
        make_vae().bound(torch.zeros(1, DIMS), k=0)
    with pytest.raises(ValueError, match="temperature=-1"):
        make_vae().sample(2, temperature=-1)


def test_the_importance_weighted_objective_is_the_bound(make_vae):
    model = make_vae(wrong=0.3, k=5)
    x = truth(model).sample((4000,))
    losses = model.loss(x)
    bounds = [model.bound(x, k=k) for k in (1, 5)]
    for value, expected in ((losses["elbo"], bounds[0]), (-losses["loss"], bounds[1])):
        tolerance = 5 * ((value.var() + expected.var()) / len(x)) ** 0.5
        assert abs(value.mean() - expected.mean()) < tolerance
    assert losses["elbo"].mean() < -losses["loss"].mean() <= truth(model).log_prob(x).mean()
    exact = make_vae(k=5)
    assert torch.allclose(
        -exact.loss(x)["loss"], truth(exact).log_prob(x)
    )  # every weight is p(x) at the true posterior
    with pytest.raises(ValueError, match=r"k=5: .* set beta 1"):
        make_vae(k=5, beta=2.0)


def test_labels_reach_both_networks(float64):
    """p(x | y) = Bernoulli(y), and q ignores x: the bound is exact and known."""

    class Labels(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.weight, self.width = torch.nn.Parameter(torch.zeros(())), width

        def forward(self, inputs, y):
            return self.weight + torch.zeros(len(y), *self.width) + (y - 1.0).view(-1, *[1] * len(self.width)) * self.on

    encoder, decoder = Labels((4,)), Labels((1, 3))
    encoder.on, decoder.on = 0.0, 2.0
    model = VAE(
        shape=(3,),
        levels=2,
        num_classes=3,
        conditional=True,
        encoder=lambda **sizes: encoder,
        decoder=lambda **sizes: decoder,
        observation=Bernoulli,
        posterior=partial(DiagonalGaussian, log_std_range=None),
        prior=StandardNormal,
        latent_dim=2,
        beta=1.0,
        k=1,
        kl_warmup_images=0,
        free_bits=0.0,
        doubly_reparameterised=False,
        temperature=1.0,
        chunk=18,
    )
    x, y = torch.ones(6, 3, dtype=torch.uint8), torch.arange(6) % 3
    expected = 3 * torch.nn.functional.logsigmoid(2.0 * (y - 1))
    assert torch.allclose(model.bound(x, y, k=5), expected)
    assert torch.allclose(model.loss(x, y)["elbo"], expected)
    with pytest.raises(ValueError, match="labels y are needed"):
        model.bound(x)


def test_temperature_0_shows_the_mean_of_the_decoder(make_vae):
    model = make_vae(temperature=0.0)
    torch.manual_seed(0)
    x = model.sample(4)
    torch.manual_seed(0)
    z = torch.randn(4, model.latent_dim)
    assert torch.equal(x, model.decoder(z, None)[:, 0])


def test_free_bits_cost_nothing_and_pull_at_nothing(make_vae):
    """Dimensions whose mean rate is below the free bits count as these, without a gradient; the others as ever."""
    x = torch.randn(8, DIMS)
    plain = make_vae(wrong=0.3)
    rates = plain.latent_rates(x)
    least = rates.mean(0).sort().values[1:3].mean().item()  # between the second and the third of four
    model = make_vae(wrong=0.3, free_bits=least)
    free = rates.mean(0) < least
    assert free.sum() == 2
    for training in (True, False):
        losses = model.train(training).loss(x)
        expected = (rates[:, ~free].sum(1) + 2 * least) if training else rates.sum(1)
        assert torch.allclose(losses["loss"] - losses["distortion"], expected)
        assert torch.allclose(losses["rate"], rates.sum(1))
    torch.manual_seed(0)
    with_free_bits = torch.autograd.grad(model.train().loss(x)["loss"].sum(), model.encoder.matrix)[0]
    torch.manual_seed(0)
    distortion = plain.loss(x)["loss"] - plain.latent_rates(x).sum(1)
    costly = distortion.sum() + plain.latent_rates(x)[:, ~free].sum()
    assert torch.allclose(with_free_bits, torch.autograd.grad(costly, plain.encoder.matrix)[0])


def test_the_doubly_reparameterised_gradient_is_that_of_the_bound_with_less_variance(make_vae):
    """In expectation over many draws; that of the decoder is the same draw by draw (Tucker et al. 2019)."""
    x, k, repetitions = torch.randn(4, DIMS), 8, 1000
    gradients = {}
    for double in (False, True):
        model = make_vae(wrong=0.3, k=k, double=double)
        torch.manual_seed(1)
        parts = []
        for _ in range(repetitions):
            loss = model.loss(x)["loss"].sum()
            parts.append(torch.autograd.grad(loss, [model.encoder.matrix, model.decoder.matrix]))
        gradients[double] = [torch.stack(part) for part in zip(*parts, strict=True)]
    (encoder, decoder), (encoder_2, decoder_2) = gradients[False], gradients[True]
    assert torch.allclose(decoder, decoder_2)
    error = ((encoder.var(0) + encoder_2.var(0)) / repetitions) ** 0.5
    assert ((encoder.mean(0) - encoder_2.mean(0)).abs() < 4.5 * error).all()
    assert encoder_2.var(0).sum() < 0.5 * encoder.var(0).sum()
    torch.manual_seed(2)
    value = make_vae(wrong=0.3, k=k).loss(x)
    torch.manual_seed(2)
    same = make_vae(wrong=0.3, k=k, double=True).loss(x)
    assert all(torch.allclose(value[name], same[name]) for name in ("loss", "elbo"))


def test_latent_variables_are_as_the_model_says(make_vae):
    model, x = make_vae(wrong=0.2), torch.randn(5, DIMS)
    mean, log_std = gaussian(model, x)
    q = Reference(mean, log_std.exp())
    z, log_q = model.infer(x, k=3)
    assert torch.allclose(log_q, q.log_prob(z).sum(-1)) and torch.equal(model.latent_mean(x), mean)
    pairs = model.log_posterior(z[0], x)
    assert torch.allclose(pairs, q.log_prob(z[0].unsqueeze(1)).sum(-1)) and torch.allclose(pairs.diagonal(), log_q[0])
    assert torch.allclose(model.log_prior(z), Reference(0.0, 1.0).log_prob(z).sum(-1))
    torch.manual_seed(0)
    joint = (model.log_conditional(x, z[0]) + model.log_prior(z[0]) - log_q[0]).mean()
    assert torch.isfinite(joint) and model.sample_prior(7).shape == (7, LATENT)


def test_double_reparameterisation_needs_several_draws_and_a_density(make_vae):
    with pytest.raises(ValueError, match=r"doubly_reparameterised=true: .* at least 2"):
        make_vae(double=True)
