"""The duality gap: by hand after one update, at an equilibrium and far from it, and that it leaves no trace in the model."""

import copy
import math
from functools import partial

import pytest
import torch
from stand_ins import Tensors, Uniform
from torch import nn

from genexp.families.gan import GAN
from genexp.metrics.duality_gap import DualityGap
from genexp.networks.mlp import MLPDiscriminator, MLPGenerator
from genexp.probability.adversarial.gradient_penalty import R1
from genexp.probability.adversarial.objectives import Hinge, Minimax, NonSaturating, RelativisticPaired, Wasserstein
from genexp.probability.randomness import keyed_draws


def game(objective, lr=0.1, hidden=(8,), optimizer=torch.optim.SGD, **options):
    torch.manual_seed(0)
    mlp = {"hidden": list(hidden), "activation": nn.Tanh(), "initialisation": None}
    settings = {"penalties": {}, "augmentation": None, "auxiliary": None, "packing": 1, "discriminator_steps": 1}
    settings |= {"generator_batches": 1, "simultaneous": False, "weight_clip": None, "conditional": False}
    settings |= {"shape": (2,), "levels": None, "num_classes": None, "latent_dim": 2} | options
    return GAN(
        generator=partial(MLPGenerator, normalisation=nn.BatchNorm1d if hidden else None, **mlp),
        discriminator=partial(MLPDiscriminator, projection=False, spectral_norm=False, **(mlp | {"hidden": [32]})),
        objective=objective,
        generator_optimizer=partial(optimizer, lr=lr),
        discriminator_optimizer=partial(optimizer, lr=2 * lr),
        **settings,
    ).eval()


def points(n=200):
    x = torch.randn(2, n, 2, generator=torch.Generator().manual_seed(3))
    return Tensors(None, train=x[0], test=x[1])


def gap(steps=1, batch_size=50, limit=None):
    return DualityGap(steps=steps, batch_size=batch_size, limit=limit)


def loss_of_discriminator(objective, generator, discriminator, x):
    losses = []
    for index, part in enumerate(x.split(4)):  # the loader's batches
        with keyed_draws(torch.device("cpu"), 5, "duality gap", index):
            z = torch.randn(len(part), 2)
        losses.append(objective.discriminator(discriminator(part)[:, 0], discriminator(generator(z))[:, 0]))
    return torch.cat(losses).double().mean().item()


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        (Minimax(), {}),
        (Hinge(), {"penalties": {"r1": R1(gamma=2.0, every=1)}}),
        (Wasserstein(), {"weight_clip": 0.01}),
        (RelativisticPaired(), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_update_by_hand(objective, options):
    model, data = game(objective, **options), points()
    (value,) = gap().compute(model, data, "test", 5)
    x, worst = data.splits["test"][0], {}
    for player in ("generator", "discriminator"):
        players = {name: copy.deepcopy(getattr(model, name)) for name in ("generator", "discriminator")}
        players[player].train()
        with keyed_draws(torch.device("cpu"), 5, "duality gap", player):
            real = data.splits["train"][0][torch.randint(200, (50,))]
            z = torch.randn(50, 1, 2)[:, 0]
        logits = {"real": players["discriminator"](real)[:, 0]}
        logits["fake"] = players["discriminator"](players["generator"](z))[:, 0]
        loss = getattr(objective, player)(**logits).mean()
        if options.get("penalties") and player == "discriminator":
            real.requires_grad_()
            (slope,) = torch.autograd.grad(players[player](real).sum(), real, create_graph=True)
            loss = loss + slope.square().sum(1).mean()
        parameters = list(players[player].parameters())
        with torch.no_grad():
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter -= {"generator": 0.1, "discriminator": 0.2}[player] * gradient
                if player == "discriminator" and "weight_clip" in options:
                    parameter.clamp_(-0.01, 0.01)
            players[player].eval()
            worst[player] = loss_of_discriminator(objective, players["generator"], players["discriminator"], x)
    assert value.value == pytest.approx(worst["generator"] - worst["discriminator"], abs=1e-6)
    assert value.parts["worst generator"]["value"] == pytest.approx(worst["generator"], abs=1e-6)
    assert value.parts["worst discriminator"]["value"] == pytest.approx(-worst["discriminator"], abs=1e-6)
    assert value.unit == ("nats" if isinstance(objective, Minimax | RelativisticPaired) else "") and value.n == 200


def equilibrium(scale, **options):
    """The generator has ``scale`` times the distribution of the data, whatever the label; the discriminator always says one
    half."""
    model = game(NonSaturating(), lr=3e-3, hidden=(), optimizer=torch.optim.Adam, **options)
    with torch.no_grad():
        model.generator.layers[0].weight.zero_()[:, :2].copy_(scale * torch.eye(2))
        for parameter in (*model.generator.layers[0].bias, *model.discriminator.layers[-1].parameters()):
            parameter.zero_()
    return model


def test_it_is_0_at_an_equilibrium_and_large_far_from_one():
    data, values = points(4000), []
    data.batch_size = 500
    for scale in (1.0, 0.01):
        (value,) = gap(steps=150, batch_size=100).compute(equilibrium(scale), data, "test", 0)
        values.append(value)
        # against a discriminator that always says one half, every generator is as bad
        assert value.parts["worst generator"]["value"] == pytest.approx(math.log(4), abs=1e-6)
    balanced, collapsed = values
    assert abs(balanced.value) < 0.02 and 0.6 < collapsed.value < math.log(4)
    assert 0 < balanced.stderr < 0.01


def test_the_model_stays_as_it_is():
    model, data = game(NonSaturating()), points()
    model.train()
    before, modules = copy.deepcopy(model.state_dict()), dict(model.named_modules())
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    with torch.inference_mode():  # as in Lightning's validation
        first = gap(steps=3).compute(model, data, "test", 0)
        again = gap(steps=3).compute(model, data, "test", 0)
    assert first == again and first != gap(steps=3).compute(model, data, "test", 1)
    torch.manual_seed(9)
    gap(steps=3).compute(model, data, "test", 0)
    assert torch.equal(torch.rand(3), expected)
    assert dict(model.named_modules()) == modules
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert model.training and model.generator.training and model.discriminator.training


def test_a_pack_counts_once():
    (value,) = gap().compute(game(NonSaturating(), packing=4), points(602), "test", 0)
    assert value.n == 151 and value.protocol["packing"] == 4


def test_labels_reach_the_players():
    """The generator makes any point for any label: only who sees the labels tells its points from the data."""
    data, values = points(600), {}
    data = Tensors(None, 2, **{split: (x, (x[:, 0] > 0).long()) for split, (x, _) in data.splits.items()})
    for conditional in (False, True):
        model = equilibrium(1.0, conditional=conditional, num_classes=2)
        (values[conditional],) = gap(steps=100).compute(model, data, "test", 0)
    assert abs(values[False].value) < 0.05 and values[True].value > 0.2
    assert values[True].protocol["conditional"] and not values[False].protocol["conditional"]


def test_limit_and_refusals():
    (value,) = gap(limit=10).compute(game(NonSaturating()), points(), "test", 0)
    assert value.n == value.protocol["examples"] == 10
    assert "needs AdversarialGame, which Uniform does not" in gap().refusal(Uniform((2,)), points())
    assert gap().refusal(game(Minimax()), points()) is None
    with pytest.raises(ValueError, match="split=train"):
        gap().compute(game(Minimax()), points(), "train", 0)
    for wrong in ({"steps": 0}, {"batch_size": 0}, {"limit": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}=0"):
            gap(**wrong)
