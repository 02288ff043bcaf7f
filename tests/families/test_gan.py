"""The losses against values by hand; one training step against the same step by hand, bit for bit."""

import copy
import math
from functools import partial

import pytest
import torch
from pytorch_lightning import Trainer

from genexp.callbacks.clock import Clock
from genexp.families.gan import GAN, Minimax, NonSaturating
from genexp.networks.mlp import MLPDiscriminator, MLPGenerator
from genexp.probability.quantize import symmetric
from genexp.probability.randomness import StepDraws

REAL, FAKE = [0.0, 2.0], [-1.0, 3.0]


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


@pytest.mark.parametrize(
    "objective, value, slope",
    [
        (Minimax(), lambda f: math.log(1 - sigmoid(f)), lambda f: -sigmoid(f)),
        (NonSaturating(), lambda f: -math.log(sigmoid(f)), lambda f: sigmoid(f) - 1),
    ],
    ids=["minimax", "non_saturating"],
)
def test_losses_and_gradients_by_hand(float64, objective, value, slope):
    real, fake = (torch.tensor(v, requires_grad=True) for v in (REAL, FAKE))
    generator = objective.generator(fake)
    assert generator.tolist() == pytest.approx([value(f) for f in FAKE])
    assert torch.autograd.grad(generator.sum(), fake)[0].tolist() == pytest.approx([slope(f) for f in FAKE])
    discriminator = objective.discriminator(real, fake)
    by_hand = [-math.log(sigmoid(r)) - math.log(1 - sigmoid(f)) for r, f in zip(REAL, FAKE, strict=True)]
    assert discriminator.tolist() == pytest.approx(by_hand)
    gradients = torch.autograd.grad(discriminator.sum(), (real, fake))
    assert gradients[0].tolist() == pytest.approx([sigmoid(r) - 1 for r in REAL])
    assert gradients[1].tolist() == pytest.approx([sigmoid(f) for f in FAKE])


@pytest.mark.parametrize("objective", [Minimax(), NonSaturating()], ids=["minimax", "non_saturating"])
def test_losses_are_finite_where_the_discriminator_is_sure(objective):
    sure = torch.tensor([-1e4, 1e4], requires_grad=True)
    for loss in (objective.generator(sure), objective.discriminator(sure, -sure)):
        assert torch.isfinite(loss).all()
        assert torch.isfinite(torch.autograd.grad(loss.sum(), sure, retain_graph=True)[0]).all()


def test_the_value_of_the_game_at_the_optimal_discriminator(float64):
    """V(D*, G) = 2 JSD(p, q) - log 4 (Goodfellow et al. 2014, theorem 1)."""
    p, q = torch.tensor([0.1, 0.4, 0.4, 0.1]), torch.tensor([0.4, 0.2, 0.1, 0.3])
    m = (p + q) / 2
    jsd = ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
    logits = (p / q).log().requires_grad_()  # D* = p / (p + q)
    game = Minimax()
    loss = (p * game.discriminator(logits, torch.tensor(-torch.inf))).sum()
    loss = loss + (q * game.discriminator(torch.tensor(torch.inf), logits)).sum()
    assert loss.item() == pytest.approx(-(2 * jsd - math.log(4)).item())
    assert torch.autograd.grad(loss, logits)[0].abs().max() < 1e-15  # no discriminator does better
    real_part = (p * torch.sigmoid(logits).log()).sum()
    assert (real_part + (q * game.generator(logits)).sum()).item() == pytest.approx(-loss.item())


def make(objective=None, conditional=False, levels=None, seed=0):
    mlp = {"hidden": [8], "activation": torch.nn.Tanh(), "initialisation": None}
    torch.manual_seed(seed)
    return GAN(
        shape=(2,),
        levels=levels,
        num_classes=3,
        conditional=conditional,
        generator=partial(MLPGenerator, **mlp),
        discriminator=partial(MLPDiscriminator, **mlp),
        objective=objective or NonSaturating(),
        latent_dim=2,
        generator_optimizer=partial(torch.optim.Adam, lr=1e-2),
        discriminator_optimizer=partial(torch.optim.Adam, lr=2e-2),
    )


def batches(n, levels=None):
    draws = torch.Generator().manual_seed(1)
    xs = [torch.randint(levels or 9, (16, 2), generator=draws) for _ in range(n)]
    return [(x.float() if levels is None else x.to(torch.uint8), torch.arange(16) % 3) for x in xs]


def fit(model, data, max_epochs=1, max_steps=None):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        callbacks=[Clock(0, None, max_steps, None)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    trainer.fit(model, loader, loader)
    return trainer


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("objective", [Minimax(), NonSaturating()], ids=["minimax", "non_saturating"])
@pytest.mark.parametrize("levels", [None, 5])
def test_training_is_what_it_is_by_hand(objective, conditional, levels):
    model, data = make(objective, conditional, levels), batches(3, levels)
    generator, discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    fit(model, data)

    by_hand = (
        torch.optim.Adam(generator.parameters(), lr=1e-2),
        torch.optim.Adam(discriminator.parameters(), lr=2e-2),
    )
    for step, (x, y) in enumerate(data):
        y = y if conditional else None
        draws = StepDraws(0, "step", "draws", step, rank=0, world=1)
        fake = generator(draws.normal(16, 2, device=torch.device("cpu"), dtype=torch.float32), y)
        loss = objective.discriminator(discriminator(symmetric(x, levels), y), discriminator(fake.detach(), y)).mean()
        by_hand[1].zero_grad()
        loss.backward()
        by_hand[1].step()
        loss = objective.generator(discriminator(fake, y)).mean()
        by_hand[0].zero_grad()
        loss.backward()
        by_hand[0].step()
    for network, reference in ((model.generator, generator), (model.discriminator, discriminator)):
        for (name, found), expected in zip(network.state_dict().items(), reference.state_dict().values(), strict=True):
            assert torch.equal(found, expected), name
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_players_step_moves_its_own_parameters_only(player):
    """With the rate of the other at zero, the other stays as it was."""
    model = make()
    other = {"generator": "discriminator", "discriminator": "generator"}[player]
    setattr(model, f"{other}_optimizer", partial(torch.optim.SGD, lr=0.0))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, batches(2))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(other), name


def test_steps_and_images_are_counted_once():
    model = make()
    trainer = fit(model, batches(5))
    assert model.steps == 5 and model.images_seen == 80
    assert trainer.global_step == 10  # Lightning counts both optimizers: why steps are ours


def test_the_clock_stops_after_generator_steps():
    model = make()
    fit(model, batches(2), max_epochs=-1, max_steps=3)
    assert model.steps == 3


def test_labels_reach_both_players():
    model, (x, y) = make(conditional=True), batches(1)[0]
    z = torch.randn(16, 2)
    assert not torch.allclose(model.generator(z, y), model.generator(z, (y + 1) % 3))
    assert not torch.allclose(model.discriminator(x, y), model.discriminator(x, (y + 1) % 3))
    seen = []
    for network in (model.generator, model.discriminator):
        network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    model.loss(x, y)
    assert len(seen) == 3 and all(torch.equal(labels, y) for labels in seen)
    with pytest.raises(ValueError, match="labels y are needed"):
        model.loss(x)


def test_what_the_discriminator_believes_is_logged(float64):
    losses = make().play(torch.tensor(REAL), torch.tensor(FAKE))
    assert losses["discriminator_real"].tolist() == pytest.approx([sigmoid(v) for v in REAL])
    assert losses["discriminator_fake"].tolist() == pytest.approx([sigmoid(v) for v in FAKE])
