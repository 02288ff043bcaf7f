"""The losses of both players against values and gradients by hand; the value of the game at the optimum; packing."""

import math

import pytest
import torch

from genexp.probability.adversarial.objectives import (
    AuxiliaryClassifier,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticPaired,
    Wasserstein,
    pack,
    unpack,
)

REAL, FAKE = [0.0, 2.0, -3.0], [-1.0, 3.0, 0.5]


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def logistic(r, f):
    return -math.log(sigmoid(r)) - math.log(1 - sigmoid(f))


# objective: discriminator(r, f), its slopes in r and f, generator(f, r), its slope in f
BY_HAND = {
    Minimax: (
        logistic,
        lambda r, f: (sigmoid(r) - 1, sigmoid(f)),
        lambda f, r: math.log(1 - sigmoid(f)),
        lambda f, r: -sigmoid(f),
    ),
    NonSaturating: (
        logistic,
        lambda r, f: (sigmoid(r) - 1, sigmoid(f)),
        lambda f, r: -math.log(sigmoid(f)),
        lambda f, r: sigmoid(f) - 1,
    ),
    LeastSquares: (
        lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2,
        lambda r, f: (r - 1, f),
        lambda f, r: (f - 1) ** 2 / 2,
        lambda f, r: f - 1,
    ),
    Wasserstein: (lambda r, f: f - r, lambda r, f: (-1, 1), lambda f, r: -f, lambda f, r: -1),
    Hinge: (
        lambda r, f: max(0, 1 - r) + max(0, 1 + f),
        lambda r, f: (-1.0 * (r < 1), 1.0 * (f > -1)),
        lambda f, r: -f,
        lambda f, r: -1,
    ),
    RelativisticPaired: (
        lambda r, f: -math.log(sigmoid(r - f)),
        lambda r, f: (-sigmoid(f - r), sigmoid(f - r)),
        lambda f, r: -math.log(sigmoid(f - r)),
        lambda f, r: -sigmoid(r - f),
    ),
}
OBJECTIVES = sorted(BY_HAND, key=lambda cls: cls.__name__)
every_objective = pytest.mark.parametrize("objective", OBJECTIVES)


@every_objective
def test_losses_and_gradients_by_hand(float64, objective):
    d, d_slopes, g, g_slope = BY_HAND[objective]
    real, fake = (torch.tensor(v, requires_grad=True) for v in (REAL, FAKE))
    discriminator = objective().discriminator(real, fake)
    assert discriminator.tolist() == pytest.approx([d(r, f) for r, f in zip(REAL, FAKE, strict=True)])
    slopes = torch.autograd.grad(discriminator.sum(), (real, fake))
    by_hand = [d_slopes(r, f) for r, f in zip(REAL, FAKE, strict=True)]
    assert [s.tolist() for s in slopes] == [pytest.approx(list(column)) for column in zip(*by_hand, strict=True)]
    generator = objective().generator(fake, real)
    assert generator.tolist() == pytest.approx([g(f, r) for r, f in zip(REAL, FAKE, strict=True)])
    (slope,) = torch.autograd.grad(generator.sum(), fake)
    assert slope.tolist() == pytest.approx([g_slope(f, r) for r, f in zip(REAL, FAKE, strict=True)])


@every_objective
def test_losses_are_finite_where_the_discriminator_is_sure(objective):
    sure = torch.tensor([-1e4, 1e4], requires_grad=True)
    for loss in (objective().generator(sure, -sure), objective().discriminator(sure, -sure)):
        assert torch.isfinite(loss).all()
        assert torch.isfinite(torch.autograd.grad(loss.sum(), sure, retain_graph=True)[0]).all()


@every_objective
def test_no_constant_discriminator_beats_the_equilibrium(float64, objective):
    """Where both distributions are the same, the best discriminator says the same of all: its loss is ``equilibrium``."""
    constant = torch.linspace(-4, 4, 801)
    losses = objective().discriminator(constant, constant)
    assert losses.min().item() == pytest.approx(objective.equilibrium, abs=1e-6)


@every_objective
def test_the_generator_loses_where_its_examples_look_less_real(float64, objective):
    """Least squares wants a logit of 1, the others as large a one as there can be."""
    fake = torch.linspace(-3, 1, 9)
    losses = objective().generator(fake, torch.zeros(9))
    assert (losses.diff() < 0).all()


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
    assert (real_part + (q * game.generator(logits, None)).sum()).item() == pytest.approx(-loss.item())


def test_the_optimal_critic_of_shifted_points_gives_their_distance(float64):
    """W1 of a point mass and the same moved by 3: the critic D(x) = -x is 1-Lipschitz and attains it."""
    real, fake = torch.zeros(5), torch.full((5,), 3.0)
    assert Wasserstein().discriminator(-real, -fake).mean().item() == pytest.approx(-3.0)


def test_accuracy_counts_the_right_side_of_the_boundary():
    real, fake = torch.tensor([0.4, 0.6, 2.0]), torch.tensor([0.4, -1.0, 3.0])
    assert [part.tolist() for part in NonSaturating().accuracy(real, fake)] == [[1, 1, 1], [0, 1, 0]]
    assert [part.tolist() for part in LeastSquares().accuracy(real, fake)] == [[0, 1, 1], [1, 1, 0]]
    assert [part.tolist() for part in Wasserstein().accuracy(real, fake)] == [[0, 1, 0]] * 2


def test_the_auxiliary_classifier_by_hand(float64):
    real, fake, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1])
    of_real = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(-2))]
    of_fake = [math.log(2), math.log(1 + math.exp(3))]
    both = AuxiliaryClassifier(discriminator_weight=2.0, generator_weight=0.5, on_fakes=True)
    assert both.discriminator(real, fake, y).tolist() == pytest.approx(
        [2 * (r + f) for r, f in zip(of_real, of_fake, strict=True)]
    )
    assert both.generator(fake, y).tolist() == pytest.approx([f / 2 for f in of_fake])
    data_only = AuxiliaryClassifier(discriminator_weight=1.0, generator_weight=0.1, on_fakes=False)
    assert data_only.discriminator(real, fake, y).tolist() == pytest.approx(of_real)
    with pytest.raises(ValueError, match="generator_weight=-1: must be at least 0"):
        AuxiliaryClassifier(discriminator_weight=1.0, generator_weight=-1, on_fakes=False)


def test_packs_join_examples_along_the_first_axis():
    x = torch.arange(5 * 2 * 3).view(5, 2, 3)
    packed = pack(x, 2)
    assert packed.shape == (3, 4, 3)
    assert torch.equal(packed[0], torch.cat([x[0], x[1]])) and torch.equal(packed[2], torch.cat([x[4], x[0]]))
    assert unpack(torch.tensor([10, 20, 30]), 2, 5).tolist() == [10, 10, 20, 20, 30]
    assert pack(x, 1) is x
    assert pack(x[:2], 4).shape == (1, 8, 3)  # fewer than a pack
