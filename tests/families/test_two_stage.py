"""A prior over the codes of a tiny VQ-VAE: every sum over codes can be done."""

from functools import partial

import pytest
import torch
from vq_models import GRADIENT, MOVING, make_two_stage, make_vq_vae

from genexp.families.vae import VAE
from genexp.networks.mlp import MLPDecoder, MLPEncoder
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import Bernoulli
from genexp.record import checkpoint


@pytest.fixture
def some_images():
    torch.manual_seed(3)
    return torch.randint(2, (9, 1, 4, 4)).to(torch.uint8)


def joint(model, x, every, y=None):
    """log p(x | codes) + log prior(codes) for all codes: ``(81,)``."""
    n = len(every)
    labels = None if y is None else y.expand(n)
    return model.first_stage.decoded_log_prob(x.expand(n, 1, 4, 4), every[:, 0]) + model.prior.log_prob(every, labels)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_bound_is_one_term_of_the_sum_over_all_codes(float64, some_images, all_examples, conditional):
    model, every = make_two_stage(make_vq_vae(), conditional=conditional), all_examples((1, 2, 2), 3)
    y = torch.arange(9) % 2 if conditional else None
    assert every.shape == (81, 1, 2, 2)
    label = None if y is None else y[:1]
    assert model.prior.log_prob(every, None if y is None else label.expand(81)).logsumexp(0).item() == pytest.approx(0)
    codes, bounds = model.codes(some_images, y), model.bound(some_images, y)
    assert codes.dtype == torch.uint8 and len(codes.unique(dim=0)) > 1
    for i, x in enumerate(some_images):
        terms = joint(model, x, every, None if y is None else y[i])
        assert bounds[i] < terms.logsumexp(0)
        (place,) = (every == codes[i]).flatten(1).all(1).nonzero()
        assert torch.allclose(bounds[i], terms[place])
    assert torch.equal(bounds, model.bound(some_images, y))  # there is nothing to draw


def test_a_uniform_prior_gives_the_bound_of_the_first_stage(float64, some_images):
    first_stage = make_vq_vae()
    wanted = first_stage.bound(some_images).detach()
    model = make_two_stage(first_stage)
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter.zero_()
    assert torch.allclose(model.bound(some_images), wanted)


def test_the_loss_is_that_of_the_prior_on_the_codes(float64, some_images):
    model = make_two_stage(make_vq_vae()).eval()
    losses = model.loss(some_images)
    assert torch.allclose(losses["loss"], -model.prior.log_prob(model.codes(some_images)))
    assert torch.allclose(losses["elbo"], model.bound(some_images))
    assert model.train().loss(some_images).keys() == {"loss"}
    assert torch.allclose(model.loss(some_images)["loss"], losses["loss"])


def test_samples_have_the_frequencies_of_the_two_stages(float64, all_examples):
    first_stage, n = make_vq_vae(shape=(1, 2, 2)), 40_000
    model = make_two_stage(first_stage)
    images = all_examples((1, 2, 2), 2)
    codes = torch.arange(3).view(3, 1, 1, 1)
    prior = model.prior.log_prob(codes.to(torch.uint8))
    assert prior.exp().max() > 0.4  # not the uniform one
    terms = [
        first_stage.decoded_log_prob(images, c.expand(16, 1, 1)) + p for c, p in zip(codes[:, 0], prior, strict=True)
    ]
    exact = torch.stack(terms).logsumexp(0).exp().detach()
    torch.manual_seed(0)
    place = (model.sample(n).flatten(1).long() * torch.tensor([8, 4, 2, 1])).sum(1)
    found = place.bincount(minlength=16) / n
    assert ((found - exact).abs() < 5 * (exact * (1 - exact) / n).sqrt() + 1e-9).all()


@pytest.mark.parametrize("codebook", [MOVING, GRADIENT], ids=["moving_average", "gradient"])
def test_the_first_stage_is_in_the_state_and_not_among_the_parameters(some_images, tmp_path, codebook):
    first_stage = make_vq_vae(codebook=codebook)
    state = {f"first_stage.{k}": v.clone() for k, v in first_stage.state_dict().items()}
    model, other = make_two_stage(first_stage), make_two_stage(make_vq_vae(seed=5, codebook=codebook), seed=6)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"prior"}
    assert all(torch.equal(model.state_dict()[k], v) for k, v in state.items())
    checkpoint.save({"state_dict": model.state_dict()}, tmp_path / "x.ckpt")
    assert not torch.equal(model.bound(some_images), other.bound(some_images))
    other.load_state_dict(checkpoint.load(tmp_path / "x.ckpt")["state_dict"])
    assert torch.equal(model.bound(some_images), other.bound(some_images))
    samples = []
    for one in (model, other):
        torch.manual_seed(2)
        samples.append(one.sample(30, temperature=0.5, prior_temperature=0.8))
    assert torch.equal(*samples)
    model.train().loss(some_images)["loss"].sum().backward()
    assert all(torch.equal(model.state_dict()[k], v) for k, v in state.items())


def test_a_conditional_first_stage_needs_a_conditional_prior(some_images):
    with pytest.raises(ValueError, match="first stage is conditional"):
        make_two_stage(make_vq_vae(conditional=True), num_classes=2)
    model, y = make_two_stage(make_vq_vae(conditional=True), conditional=True), torch.arange(9) % 2
    assert not torch.equal(model.bound(some_images, y), model.bound(some_images, 1 - y))
    assert model.sample(4, 1).shape == (4, 1, 4, 4)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(
        ValueError, match=r"data\.shape=\(1, 8, 8\): the first stage was trained on data with \(1, 4, 4\)"
    ):
        make_two_stage(make_vq_vae(), shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"data\.levels=17"):
        make_two_stage(make_vq_vae(), levels=17)
    with pytest.raises(ValueError, match="257 codes"):
        make_two_stage(make_vq_vae(codebook=partial(GRADIENT, size=257)))
    vae = partial(
        VAE,
        encoder=partial(MLPEncoder, hidden=[4], activation=torch.nn.Tanh(), initialisation=None),
        decoder=partial(MLPDecoder, hidden=[4], activation=torch.nn.Tanh(), initialisation=None),
        observation=Bernoulli,
        posterior=partial(DiagonalGaussian, log_std_range=None),
        prior=StandardNormal,
        **{"latent_dim": 2, "beta": 1.0, "k": 1, "kl_warmup_images": 0, "chunk": 10, "temperature": 1.0},
        **{"free_bits": 0.0, "doubly_reparameterised": False},
    )
    with pytest.raises(ValueError, match="first_stage: must be a VQ-VAE, not VAE"):
        make_two_stage(make_vq_vae(), given=vae(shape=(1, 4, 4), levels=2, num_classes=None, conditional=False))
    with pytest.raises(ValueError, match="code_prior: VAE has no exact likelihood"):
        two = partial(make_vq_vae, codebook=partial(MOVING, size=2))
        make_two_stage(two(), code_prior=vae)
