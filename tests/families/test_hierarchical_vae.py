"""The hierarchical VAE against the flat one, by Monte-Carlo, and on a space small enough to enumerate."""

from functools import partial

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from genexp.data.digits import Digits
from genexp.families.hierarchical_vae import HierarchicalVAE
from genexp.families.vae import VAE
from genexp.networks.latent.ladder import BottomUp, TopDown, bounded
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import Bernoulli, Categorical

SETTINGS = {"beta": 1.0, "k": 1, "kl_warmup_images": 0, "free_bits": 0.0, "chunk": 10_000, "temperature": 1.0}


def make_model(
    shape=(1, 4, 4),
    reductions=(None, 2),
    blocks=(1, 2),
    size=1.0,
    levels=2,
    channels=6,
    bottleneck=4,
    latent_channels=2,
    **changes,
):
    """``size`` multiplies the weights that PyTorch draws: larger ones give posteriors far from the prior and from the truth."""
    torch.manual_seed(0)
    model = HierarchicalVAE(
        shape=shape,
        levels=levels,
        encoder=partial(BottomUp, bottleneck=bottleneck, blocks=[1] * len(blocks)),
        decoder=partial(TopDown, bottleneck=bottleneck, latent_channels=latent_channels, blocks=blocks),
        observation=Bernoulli if levels == 2 else Categorical,
        **{"num_classes": 3, "conditional": False, "reductions": reductions, "channels": channels}
        | {"latent_temperature": 1.0}
        | SETTINGS
        | changes,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= size
    return model


def batch(model, n=5):
    draws = torch.Generator().manual_seed(1)
    x = torch.randint(model.levels, (n, *model.shape), generator=draws).to(torch.uint8)
    return x, torch.arange(n) % 3 if model.conditional else None


class FlatEncoder(torch.nn.Module):
    """The networks of a single group on a single point, as q(z | x)."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, x, y):
        (block,), (start,) = self.inner.decoder.blocks, self.inner.decoder.starts
        h = start if block.label is None else start + block.label(y)[:, :, None, None]
        (features,) = self.inner.encoder(x)
        mean, log_std = block.posterior(torch.cat([h.expand_as(features), features], dim=1)).flatten(1).chunk(2, dim=1)
        return torch.cat([mean, bounded(log_std)], dim=1)


class FlatDecoder(FlatEncoder):
    """The same as p(x | z)."""

    def forward(self, z, y):
        decoder = self.inner.decoder
        (block,), (start,) = decoder.blocks, decoder.starts
        h = start if block.label is None else start + block.label(y)[:, :, None, None]
        h = h + block.prior(h)[:, -h.shape[1] :] + block.take_up(z[:, :, None, None])
        params = F.pixel_shuffle(decoder.head(h + block.residual(h)), decoder.reduction)
        return params.view(len(z), -1, *self.inner.shape)


@pytest.mark.parametrize("levels", [2, 5])
@pytest.mark.parametrize("conditional", [False, True])
def test_one_group_on_one_point_is_the_flat_vae(float64, conditional, levels):
    model = make_model(
        shape=(3, 4, 4), reductions=[None], blocks=[1], levels=levels, size=1.5, conditional=conditional, chunk=14
    )
    (block,) = model.decoder.blocks
    with torch.no_grad():  # p(z) = N(0, I)
        for parameter in (block.prior[-1].weight, block.prior[-1].bias):
            parameter[: 2 * block.latent_shape[0]] = 0
    flat = VAE(
        shape=model.shape,
        levels=model.levels,
        num_classes=3,
        conditional=conditional,
        encoder=lambda **_: FlatEncoder(model),
        decoder=lambda **_: FlatDecoder(model),
        observation=Bernoulli if levels == 2 else Categorical,
        posterior=partial(DiagonalGaussian, log_std_range=None),
        prior=StandardNormal,
        latent_dim=block.latent_shape[0],
        doubly_reparameterised=False,
        **SETTINGS | {"chunk": 14},
    )
    x, y = batch(model)
    results = []
    for one in (model, flat):
        torch.manual_seed(0)
        losses = one.loss(x, y)
        results.append([*losses.items(), *((f"bound {n}", one.bound(x, y, k=n)) for n in (1, 7))])
        results[-1] += [("sample", one.sample(5, y)), ("reconstruction", one.reconstruct(x, y))]
    for (name, value), (same, expected) in zip(*results, strict=True):
        assert name == same and torch.allclose(value, expected, rtol=1e-10), name
    assert losses["rate"].min() > 0.01


def test_rates_in_closed_form_are_those_of_the_draws(float64):
    """Of every group, given the draws above: the reference's closed form, and on average over the draws log q - log p."""
    model, n = make_model(size=2.0), 5000
    x = batch(model, 1)[0].expand(n, -1, -1, -1)
    with torch.no_grad():
        eps = [torch.randn(n, *shape) for shape in model.decoder.latent_shapes]
        features = [f.expand(n, -1, -1, -1) for f in model.encode(x[:1], None)]
        _, groups = model.decoder(features, None, eps)
        rates, losses, bound = model.rates(x), model.loss(x), model.bound(x)
        given = iter(eps)
        terms = model.terms(x, None, features, lambda *shape: next(given).unsqueeze(0))[1]
    for i, group in enumerate(groups):
        q, p = Normal(group.mean, group.log_std.exp()), Normal(group.prior_mean, group.prior_log_std.exp())
        closed = kl_divergence(q, p).flatten(1).sum(1)
        drawn = (q.log_prob(group.z) - p.log_prob(group.z)).flatten(1).sum(1)
        assert torch.allclose(terms[:, i], closed)
        for other in (drawn, rates[:, i]):
            difference = (closed.mean() - other.mean()).abs()
            assert difference <= 4 * ((closed.var() + other.var()) / n) ** 0.5
        assert closed.mean() > 0.05
    error = ((losses["elbo"].var() + bound.var()) / n) ** 0.5
    assert abs(losses["elbo"].mean() - bound.mean()) < 4 * error
    assert torch.allclose(losses["elbo"], -losses["distortion"] - losses["rate"])


def test_bounds_grow_with_k_towards_the_likelihood(all_examples):
    """p(x) of all 16 images of 2x2, from draws of the prior: no bound exceeds it, and together they give all of it."""
    model = make_model((1, 2, 2), (None, 1), (1, 1), size=1.6, latent_channels=1)
    space, n, draws = all_examples((1, 2, 2), 2), 60, 20_000
    with torch.no_grad():
        logits = model.decoder(None, None, [torch.randn(draws, *shape) for shape in model.decoder.latent_shapes])[0]
        given = [model.observation.log_prob(logits, x.expand(draws, -1, -1, -1)).flatten(1).sum(1).exp() for x in space]
        exact, exact_error = torch.stack(given).mean(1), torch.stack(given).std(1) / draws**0.5
        values = {k: model.bound(space.repeat(n, 1, 1, 1), k=k).view(n, 16) for k in (1, 5, 50)}
    mean = {k: value.mean(0) for k, value in values.items()}
    error = {k: value.std(0) / n**0.5 for k, value in values.items()}
    log_error = exact_error / exact
    assert (mean[1] < mean[5] + 4 * (error[1] + error[5])).all() and (
        mean[5] < mean[50] + 4 * (error[5] + error[50])
    ).all()
    over_all = {k: (value * exact).sum(1) for k, value in values.items()}
    for less, more in ((1, 5), (5, 50)):
        difference = over_all[more].mean() - over_all[less].mean()
        assert difference > 4 * ((over_all[more].var() + over_all[less].var()) / n) ** 0.5
    assert (mean[50] < exact.log() + 4 * (error[50] + log_error)).all()
    assert (exact.log() - mean[50] < 0.1 * (exact.log() - mean[1]) + 4 * (error[50] + log_error)).all()
    samples = torch.stack([(model.sample(10_000) == x).flatten(1).all(1).double().mean() for x in space])
    assert ((samples - exact).abs() < 5 * (exact * (1 - exact) / 10_000) ** 0.5 + 5 * exact_error).all()


def test_draws_belong_to_their_example_and_memory_does_not_grow_with_k(float64):
    model = make_model(size=2.0, conditional=True, chunk=11)
    x, y = batch(model)
    pool = [torch.randn(3, 5, *shape) for shape in model.decoder.latent_shapes]

    def weights(draws, rows):
        given = iter(pool)
        code = model.encode(x[rows], y[rows])
        return model.log_weights(x[rows], y[rows], code, lambda *shape: next(given)[draws][:, rows])

    every = weights(slice(None), slice(None))
    for draw in range(3):
        for row in range(5):
            alone = weights(slice(draw, draw + 1), slice(row, row + 1))
            assert torch.allclose(every[draw, row], alone.squeeze())
    seen = []
    model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(len(output[0])))
    model.bound(x, y, k=30).sum().backward()
    assert max(seen) <= 11 and sum(seen) == 150
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("groups", [0, 2, 3])
def test_free_bits_are_the_least_that_a_group_costs(float64, groups):
    """And as many groups as are below them, on average over the batch, give the objective no gradient."""
    model = make_model(size=2.0, beta=2.0)
    x, _ = batch(model)
    torch.manual_seed(3)
    free = model.free_bits = {0: 0.0, 2: model.rates(x).mean(0).median().item() + 1e-6, 3: 1000.0}[groups]
    torch.manual_seed(3)
    losses = model.loss(x)
    losses["loss"].sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    torch.manual_seed(3)
    rates = model.rates(x)
    assert rates.shape == (5, 3) and torch.allclose(rates.sum(1), losses["rate"])
    below = rates.mean(0) < free
    assert below.sum() == groups
    assert torch.allclose(losses["loss"], losses["distortion"] + 2 * torch.where(below, free, rates).sum(1))
    assert torch.allclose(losses["elbo"], -losses["distortion"] - losses["rate"])  # which knows no free bits

    model.zero_grad()
    torch.manual_seed(3)
    distortion, attached = model.terms(x, None, model.encode(x, None), lambda *shape: torch.randn(1, 5, *shape))
    (distortion.sum() + 2 * attached[:, ~below].sum()).backward()
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.allclose(gradient, 0 if p.grad is None else p.grad)


def test_temperatures_multiply_deviations(float64):
    model = make_model(size=2.0)
    seen, samples = [], []
    model.decoder.register_forward_hook(lambda module, inputs, output: seen.append((output[0], output[1][0])))
    for seed, latent in ((1, 1.0), (1, 0.5), (1, 0.0), (2, 0.0)):
        torch.manual_seed(seed)
        samples.append(model.sample(3, latent_temperature=latent, temperature=0))
    moved = [(group.z - group.prior_mean) / group.prior_log_std.exp() for _, group in seen]
    assert torch.allclose(moved[1], 0.5 * moved[0]) and moved[0].any() and not moved[2].any()
    assert torch.equal(samples[2], samples[3]) and torch.equal(samples[2][0], samples[2][1])
    assert torch.equal(samples[0], model.observation.mean(seen[0][0]))
    with pytest.raises(ValueError, match="latent_temperature=-1"):
        model.sample(2, latent_temperature=-1)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"free_bits": -1.0}, "free_bits=-1.0: must be at least 0"),
        ({"latent_temperature": -1.0}, "latent_temperature=-1.0: must be at least 0"),
        ({"channels": 0}, "channels=0: must be at least 1"),
        ({"bottleneck": 0}, "bottleneck=0: must be at least 1"),
        ({"latent_channels": 0}, "latent_channels=0: must be at least 1"),
        ({"k": 5, "free_bits": 0.1}, "k=5: .* free_bits 0"),
        ({"k": 5, "beta": 0.5}, "k=5: .* set beta 1"),
        ({"reductions": [2, 3]}, r"reductions=\[2, 3\]"),
        ({"blocks": [1]}, r"encoder.blocks=\[1\]"),
    ],
)
def test_impossible_settings_are_refused(change, line):
    with pytest.raises(ValueError, match=line):
        make_model(**change)


def test_the_importance_weighted_objective_is_the_bound(float64):
    model = make_model(size=2.0, k=5)
    x = batch(model, 1)[0].expand(1500, -1, -1, -1)
    with torch.no_grad():
        losses = model.loss(x)
        pairs = [(losses["elbo"], model.bound(x)), (-losses["loss"], model.bound(x, k=5))]
    for value, expected in pairs:
        assert abs(value.mean() - expected.mean()) < 4 * ((value.var() + expected.var()) / 1500) ** 0.5
    assert losses["elbo"].mean() < -losses["loss"].mean()


@pytest.mark.slow
def test_it_learns_digits():
    """Within 300 steps the bound is more than a nat for each pixel above that of the start. (Not a test of the latents, which
    without a warm-up or free bits are hardly used on these data by then.)"""
    data = Digits(
        name="digits",
        shape=[1, 8, 8],
        levels=17,
        num_classes=10,
        splits={"train": 1297, "validation": 250, "test": 250},
        split_seed=0,
        batch_size=64,
        evaluation_batch_size=250,
        seed=0,
        limit=None,
        num_workers=0,
    )
    model = make_model((1, 8, 8), (None, 4, 2), (1, 1, 1), levels=17, channels=24, bottleneck=12, latent_channels=4)
    data.setup()
    x, _ = next(iter(data.loader("test")))
    with torch.no_grad():
        before = model.bound(x).mean()
    optimizer, done = torch.optim.Adam(model.parameters(), lr=2e-3), 0
    while done < 300:
        for images, _ in data.loader("train"):
            model.loss(images)["loss"].mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 100)
            optimizer.step()
            optimizer.zero_grad()
            done += 1
    with torch.no_grad():
        after = model.bound(x).mean()
    assert after > -115 > before + 64
