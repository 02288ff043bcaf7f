"""The family of StyleGAN2: when the path length is taken and what with, truncation in w, pictures without noise."""

from functools import partial

import pytest
import torch

from genexp.families.gan import Batch
from genexp.families.style_gan import StyleGAN
from genexp.networks.adversarial.style_discriminator import StyleDiscriminator
from genexp.networks.adversarial.stylegan2 import StyleGenerator
from genexp.probability.adversarial.objectives import NonSaturating
from genexp.probability.adversarial.path_length import PathLength


@pytest.fixture
def model():
    torch.manual_seed(0)
    widths = {"channels": 4, "max_channels": 8}
    generator = partial(
        StyleGenerator,
        w_dim=6,
        mapping_layers=1,
        mapping_multiplier=1.0,
        mean_decay=0.5,
        mixing_probability=0.5,
        **widths,
    )
    return StyleGAN(
        path_length=PathLength(weight=2.0, decay=0.1, every=4),
        shape=(1, 8, 8),
        levels=17,
        num_classes=3,
        conditional=True,
        generator=generator,
        discriminator=partial(StyleDiscriminator, group_size=2, **widths),
        objective=NonSaturating(),
        penalties={},
        augmentation=None,
        auxiliary=None,
        latent_dim=5,
        packing=1,
        discriminator_steps=1,
        generator_batches=1,
        simultaneous=False,
        weight_clip=None,
        generator_optimizer=torch.optim.Adam,
        discriminator_optimizer=torch.optim.Adam,
    )


def test_the_path_length_is_taken_in_every_fourth_update_on_half_a_batch(model, monkeypatch):
    seen = []
    call = PathLength.forward
    monkeypatch.setattr(PathLength, "forward", lambda self, x, w: seen.append((x, w)) or call(self, x, w))
    batch = Batch(torch.zeros(7, 1, 8, 8), torch.arange(7) % 3, torch.randn(7, 1, 5))
    terms = []
    for model.steps in range(1, 9):
        terms.append(model.generator_penalties(batch, 0)["path_length"])
    assert [term.ndim for term in terms] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert all(term == 0 for term in terms[:3]) and terms[3].shape == (4,)
    x, w = seen[0]
    assert x.shape == (4, 1, 8, 8) and w.shape[::2] == (4, 6)
    terms[3].mean().backward()
    assert all(p.grad is not None for p in model.generator.mapping.parameters())
    assert model.discriminator.last.weight.grad is None


def test_it_weighs_as_much_in_the_mean(model):
    model.eval()
    batch = Batch(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.long), torch.randn(2, 1, 5))
    model.steps = 4
    torch.manual_seed(1)
    found = model.generator_penalties(batch, 0)["path_length"]
    torch.manual_seed(1)
    w = model.generator.styles(batch.z[:1, 0], batch.y[:1])
    assert found.item() == pytest.approx(4 * model.path_length(model.generator.synthesis(w), w).item())


def test_without_a_path_length_there_is_no_penalty(model):
    assert model.differentiates_twice
    model.path_length = None
    assert model.generator_penalties(None, 0) == {}


def test_truncation_moves_w_to_its_mean(model):
    model.train()
    model.generator(torch.randn(64, 5), torch.arange(64) % 3)  # for the running mean
    seen = []
    model.generator.synthesis.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for psi in (0.0, 1.0, 0.5):
        torch.manual_seed(2)
        model.sample(8, 1, psi=psi)
    mean = model.generator.mapping.w_mean
    assert torch.allclose(seen[0], mean.expand(8, -1))
    assert torch.allclose(seen[2] - mean, (seen[1] - mean) / 2, atol=1e-6) and (seen[1].std(0) > 0).all()


def test_pictures_are_functions_of_z(model):
    with torch.no_grad():
        for strength in [p for name, p in model.named_parameters() if "noise" in name]:
            strength.fill_(1.0)
    model.eval()
    z, y = torch.randn(3, 5), torch.tensor([0, 1, 2])
    assert torch.equal(model.conditional_mean(z, y), model.conditional_mean(z, y))
    assert not torch.equal(model.decode(z, y), model.decode(z, y))
