"""A VQ-VAE so small that the sum over all its codes can be done."""

import math

import pytest
import torch
from vq_models import GRADIENT, MOVING, make_vq_vae

from genexp.families.capabilities import ImportanceBound

both = pytest.mark.parametrize("codebook", [MOVING, GRADIENT], ids=["moving_average", "gradient"])


@pytest.fixture
def some_images():
    torch.manual_seed(3)
    return torch.randint(2, (9, 1, 4, 4)).to(torch.uint8)


@both
def test_the_bound_is_one_term_of_the_sum_over_all_codes(float64, some_images, all_examples, codebook):
    model, every = make_vq_vae(codebook=codebook), all_examples((2, 2), 3)
    own = model.encode(some_images)
    assert len(own.unique(dim=0)) > 1
    for x, codes, bound in zip(some_images, own, model.bound(some_images), strict=True):
        joint = model.decoded_log_prob(x.expand(81, 1, 4, 4), every) - 4 * math.log(3)
        assert bound < joint.logsumexp(0)
        (place,) = (every == codes).flatten(1).all(1).nonzero()
        assert torch.allclose(bound, joint[place])


def test_the_likelihood_that_is_bounded_sums_to_one(float64, all_examples):
    model = make_vq_vae(shape=(1, 2, 4))  # 1 x 2 codes, 256 images
    images, codes = all_examples((1, 2, 4), 2), all_examples((1, 2), 3)
    joint = torch.stack([model.decoded_log_prob(images, c.expand(256, 1, 2)) for c in codes]) - 2 * math.log(3)
    assert joint.logsumexp((0, 1)).item() == pytest.approx(0)
    assert (model.bound(images) <= joint.logsumexp(0)).all() and model.bound(images).exp().sum() < 1


def test_more_draws_of_a_point_mass_change_nothing(some_images):
    model = make_vq_vae()
    assert torch.equal(model.bound(some_images), model.bound(some_images))
    assert not isinstance(model, ImportanceBound)  # and nobody may ask for more


@both
def test_the_loss_is_equation_3(float64, some_images, codebook):
    model = make_vq_vae(codebook=codebook, beta=0.6)
    losses = model.loss(some_images)
    z = model.latents(some_images, None)
    e, codes = model.codebook(z)
    distance = ((z - e) ** 2).sum((1, 2, 3))
    assert torch.allclose(losses["commitment"], distance)
    assert torch.allclose(losses["distortion"], -model.decoded_log_prob(some_images, codes))
    assert torch.allclose(losses["elbo"], model.bound(some_images))
    weight = 0.6 + (codebook is GRADIENT)
    assert torch.allclose(losses["loss"], losses["distortion"] + weight * distance)
    share = codes.flatten().bincount(minlength=3) / codes.numel()
    assert torch.allclose(losses["perplexity"], torch.special.entr(share).sum().exp().expand(9))


def test_the_decoder_teaches_the_encoder_straight_through(float64, some_images):
    """Without commitment: d loss / d encoder = (d distortion / d z_q) (d z_e / d encoder)."""
    model = make_vq_vae(beta=0.0)
    parameters = list(model.encoder.parameters())
    found = torch.autograd.grad(model.loss(some_images)["loss"].sum(), parameters)
    z = model.latents(some_images, None)
    e = model.codebook(z)[0].detach().requires_grad_()
    log_prob = model.observation.log_prob(model.decoder(e, None), some_images).sum()
    (at_e,) = torch.autograd.grad(-log_prob, [e])
    wanted = torch.autograd.grad(z, parameters, at_e)
    assert any(g.any() for g in found) and all(map(torch.allclose, found, wanted))


@both
def test_decoded_codes_are_what_was_encoded(some_images, codebook):
    model = make_vq_vae(codebook=codebook, temperature=0.0)
    codes = model.encode(some_images)
    assert codes.shape == (9, 2, 2) and 0 <= codes.min() and codes.max() < 3
    assert torch.equal(model.reconstruct(some_images), model.decode(codes))
    assert torch.equal(model.decode(codes), (model.decoder(model.codebook.lookup(codes)) > 0)[:, 0].to(torch.uint8))
    with pytest.raises(ValueError, match="temperature=-1"):
        model.sample(2, temperature=-1)


def test_samples_come_from_uniform_codes(float64, all_examples):
    """Frequencies of all images of 1 x 2 pixels, which one code decodes to, against their exact probabilities."""
    model, n = make_vq_vae(shape=(1, 2, 2)), 40_000
    images = all_examples((1, 2, 2), 2)
    joint = torch.stack([model.decoded_log_prob(images, torch.full((16, 1, 1), c)) for c in range(3)])
    exact = (joint.logsumexp(0) - math.log(3)).exp()
    torch.manual_seed(0)
    place = (model.sample(n).flatten(1).long() * torch.tensor([8, 4, 2, 1])).sum(1)
    found = place.bincount(minlength=16) / n
    assert ((found - exact).abs() < 5 * (exact * (1 - exact) / n).sqrt() + 1e-9).all()


def test_wrong_arguments_are_refused():
    for name, value in (("beta", -1), ("temperature", -0.5)):
        with pytest.raises(ValueError, match=f"{name}={value}: must be at least 0"):
            make_vq_vae(**{name: value})
