"""A training step against the same step by hand, bit for bit; what each player's update does and does not touch."""

import copy
from functools import partial

import pytest
import torch
from small_gans import batches, fit, make

from genexp.probability.adversarial.gradient_penalty import R1, Interpolated
from genexp.probability.adversarial.objectives import (
    AuxiliaryClassifier,
    Minimax,
    NonSaturating,
    RelativisticPaired,
    Wasserstein,
    pack,
)
from genexp.probability.quantize import symmetric
from genexp.probability.randomness import StepDraws


class ByHand:
    """The players of a model, trained with PyTorch alone."""

    def __init__(self, model):
        self.generator, self.discriminator = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
        self.optimizers = (
            torch.optim.Adam(self.generator.parameters(), lr=1e-2),
            torch.optim.Adam(self.discriminator.parameters(), lr=2e-2),
        )

    def z(self, step, before=0, draws=1):
        stream = StepDraws(0, "step", "draws", step, rank=0, world=1, before=before)
        z = stream.normal(16, draws, 2, device=torch.device("cpu"), dtype=torch.float32)
        return z, partial(stream.uniform, device=torch.device("cpu"), dtype=torch.float32)

    def update(self, player, loss):
        parameters = list((self.generator, self.discriminator)[player].parameters())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True
        ):
            parameter.grad = gradient
        self.optimizers[player].step()

    def assert_equal(self, model):
        for network, reference in ((model.generator, self.generator), (model.discriminator, self.discriminator)):
            pairs = zip(network.state_dict().items(), reference.state_dict().values(), strict=True)
            for (name, found), expected in pairs:
                assert torch.equal(found, expected), name
        assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize(
    "objective", [Minimax(), NonSaturating(), RelativisticPaired()], ids=lambda o: type(o).__name__
)
@pytest.mark.parametrize("levels", [None, 5])
def test_training_is_what_it_is_by_hand(objective, simultaneous, conditional, levels):
    model, data = make(objective, conditional, levels, simultaneous=simultaneous), batches(3, levels)
    hand = ByHand(model)
    fit(model, data)
    for step, (x, y) in enumerate(data):
        y, x = y if conditional else None, symmetric(x, levels)
        fake = hand.generator(hand.z(step)[0][:, 0], y)

        def judge(x, y=y):
            return hand.discriminator(x, y)[:, 0]

        critic = objective.discriminator(judge(x), judge(fake.detach())).mean()
        before = objective.generator(judge(fake), judge(x).detach()).mean() if simultaneous else None
        gradient = None
        if simultaneous:  # the generator's gradient is taken before the discriminator moves
            gradient = torch.autograd.grad(before, list(hand.generator.parameters()), retain_graph=True)
        hand.update(1, critic)
        if simultaneous:
            for parameter, value in zip(hand.generator.parameters(), gradient, strict=True):
                parameter.grad = value
            hand.optimizers[0].step()
        else:
            hand.update(0, objective.generator(judge(fake), judge(x).detach()).mean())
    hand.assert_equal(model)


def test_several_updates_of_the_discriminator_by_hand():
    """WGAN-GP: two updates of the critic, on real examples of their own, then one of the generator on twice as many fakes; the
    third batch ends the epoch and has one."""
    penalty = Interpolated(weight=10.0, target=1.0, one_sided=False, every=1)
    settings = {"discriminator_steps": 2, "generator_batches": 2, "penalties": {"gp": penalty}}
    model, data = make(Wasserstein(), **settings), batches(3)
    hand = ByHand(model)
    fit(model, data)
    assert (model.steps, model.updates) == (2, 3)
    for index, (x, _) in enumerate(data):
        step, before = divmod(index, 2)
        z, uniform = hand.z(step, before=16 * before, draws=2)
        fake = hand.generator(z[:, 0]).detach()

        def judge(x):
            return hand.discriminator(x)[:, 0]

        loss = (judge(fake) - judge(x)).mean() + penalty(judge, x, fake, uniform).mean()
        hand.update(1, loss)
        if index in (1, 2):
            parts = [-judge(hand.generator(z[:, draw])).mean() / 2 for draw in range(2)]
            hand.update(0, sum(parts))
    for network, reference in ((model.generator, hand.generator), (model.discriminator, hand.discriminator)):
        for found, expected in zip(network.parameters(), reference.parameters(), strict=True):
            assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)  # sums of gradients in another order


def test_packs_are_judged_together():
    model, data = make(packing=4), batches(2)
    assert next(model.discriminator.parameters()).shape[1] == 8
    hand = ByHand(model)
    fit(model, data)
    for step, (x, _) in enumerate(data):
        fake = hand.generator(hand.z(step)[0][:, 0])

        def judge(x):
            return hand.discriminator(pack(x, 4))[:, 0]

        hand.update(1, NonSaturating().discriminator(judge(x), judge(fake.detach())).mean())
        hand.update(0, NonSaturating().generator(judge(fake), None).mean())
    hand.assert_equal(model)
    for n in (1, 3, 16, 18):
        assert model.loss(torch.randn(n, 2))["loss"].shape == (n,)


def test_an_auxiliary_classifier_teaches_the_generator_its_labels():
    """The discriminator is not given the labels; its class head sees them in its loss, and passes them on."""
    auxiliary = AuxiliaryClassifier(discriminator_weight=1.0, generator_weight=1.0, on_fakes=False)
    model = make(conditional=True, auxiliary=auxiliary)
    x, y = batches(1)[0]
    losses = model.loss(x, y)
    assert losses["class_loss"].shape == losses["discriminator_class_loss"].shape == (16,)
    outputs = model.judge(x, y)
    assert outputs.shape == (16, 4)
    by_hand = torch.nn.functional.cross_entropy(outputs[:, 1:], y, reduction="none")
    assert torch.allclose(losses["discriminator_class_loss"], by_hand)
    fit(model, batches(3))


def test_lazy_penalties_count_updates_of_the_discriminator():
    calls = []

    class Counting(R1):
        def points(self, real, fake, uniform):
            calls.append(len(real))
            return super().points(real, fake, uniform)

    model = make(penalties={"r1": Counting(gamma=1.0, every=3)}, discriminator_steps=2)
    trainer = fit(model, batches(6))
    assert len(calls) == 2 and model.updates == 6
    assert {"r1", "discriminator_loss", "loss", "generator_gradient_norm"} <= trainer.callbacks[-1].seen[0].keys()


def test_signs_of_collapse_are_logged():
    model = make()
    trainer = fit(model, batches(3))
    for values in trainer.callbacks[-1].seen:
        ratio = values["discriminator_loss"] / values["relative_discriminator_loss"]
        assert ratio.item() == pytest.approx(NonSaturating.equilibrium)
        assert 0.01 < values["fake_spread"] < 1
    with torch.no_grad():
        model.generator.layers[-1].weight.zero_()
    model.generator_optimizer = partial(torch.optim.SGD, lr=0.0)
    assert all(values["fake_spread"] < 1e-6 for values in fit(model, batches(1)).callbacks[-1].seen)
    critic = make(Wasserstein())
    assert all(values["relative_discriminator_loss"] == 1 for values in fit(critic, batches(1)).callbacks[-1].seen)


def test_weights_are_clipped_after_every_update():
    model = make(Wasserstein(), weight_clip=0.01)
    fit(model, batches(3))
    largest = max(p.abs().max().item() for p in model.discriminator.parameters())
    assert largest == pytest.approx(0.01)
    assert max(p.abs().max().item() for p in model.generator.parameters()) > 0.1


def test_schedulers_count_generator_updates():
    halve = partial(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.5)
    model = make(discriminator_steps=2, scheduler=halve)
    trainer = fit(model, batches(8))
    assert model.steps == 4
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == pytest.approx([0.0025, 0.005])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"packing": 0}, "packing=0: must be at least 1"),
        ({"discriminator_steps": 0}, "discriminator_steps=0"),
        ({"generator_batches": 0}, "generator_batches=0"),
        ({"weight_clip": 0.0}, "weight_clip=0.0: must be positive"),
        ({"packing": 2, "conditional": True}, "packing=2: .*conditional=false"),
        ({"auxiliary": object()}, "auxiliary: .*conditional=true"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_truncation_bounds_the_latents():
    model, seen = make(), []
    model.generator.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.sample(1000, truncation=0.5)
    model.sample(1000)
    assert seen[0].abs().max() <= 0.5 and seen[0].std() > 0.2 and seen[1].abs().max() > 2
    with pytest.raises(ValueError, match="truncation=0: must be positive"):
        model.sample(2, truncation=0)


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


def test_pictures_are_decoded_as_samples_are_but_not_rounded(levels=5):
    model = make(levels=levels)
    z = 9 * torch.randn(50, 2)
    with torch.no_grad():
        x, mean = model.decode(z, None), model.conditional_mean(z)
    assert x.dtype == torch.uint8 and torch.equal(mean.round().to(torch.uint8), x)
    assert (mean != mean.round()).any() and 0 <= mean.min() <= mean.max() <= levels - 1


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
