"""Densities of reals as models of levels."""

from math import log

import pytest
import torch
from composing import compose_train
from torch import nn
from torch.nn import functional as F

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood
from genexp.families.dequantised import Dequantised
from genexp.networks.flow.stack import CouplingStack
from genexp.probability.dequantisation import UniformDequantisation, VariationalDequantisation
from genexp.probability.transforms.univariate import Affine
from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate


class UniformDensity(GenerativeModule, ExactLikelihood):
    """Uniform on [0, 1]^D, seen through a map of it: the density of g(s), s uniform, is 1 / |g'|."""

    def __init__(self, logit_alpha, **common):
        super().__init__(**common)
        self.alpha = logit_alpha

    def log_prob(self, x, y=None):
        if self.alpha is None:
            inside = (x.abs() <= 1).flatten(1).all(1)
            return torch.where(inside, -self.dims * log(2), -torch.inf)
        slope = F.logsigmoid(x) + F.logsigmoid(-x) - log(1 - 2 * self.alpha)
        return slope.flatten(1).sum(1)

    def loss(self, x, y=None):
        return {"loss": -self.log_prob(x, y)}

    def draw(self, n, y):
        return torch.rand(n, *self.shape) * 2 - 1


def transform(shape, context_dim):
    settings = {"hidden": [8], "activation": nn.Tanh(), "linear": False, "order_seed": None}
    return CouplingStack(shape=shape, context_dim=context_dim, depth=2, univariate=lambda: Affine(1e-3), **settings)


def variational(**place):
    made = VariationalDequantisation(transform=transform, **place)
    for p in made.parameters():
        p.data.normal_(0, 0.3)
    return made


def model(density, dequantisation=UniformDequantisation, levels=5, logit_alpha=None, shape=(2, 3), **common):
    common = {"num_classes": None, "conditional": False} | common
    return Dequantised(
        density=density,
        dequantisation=dequantisation,
        logit_alpha=logit_alpha,
        chunk=1_000,
        shape=shape,
        levels=levels,
        **common,
    )


@pytest.mark.parametrize("levels", [2, 5, 256])
@pytest.mark.parametrize("alpha", [None, 0.05, 1e-6])
def test_a_uniform_density_scores_exactly_the_logarithm_of_the_number_of_levels(float64, levels, alpha):
    uniform = model(lambda **given: UniformDensity(alpha, **given), levels=levels, logit_alpha=alpha)
    x = torch.randint(levels, (7, 2, 3)).to(torch.uint8)
    x[0], x[1] = 0, levels - 1
    for bound in (uniform.bound(x), uniform.bound(x, k=3), -uniform.loss(x)["loss"]):
        torch.testing.assert_close(bound, torch.full((7,), -6 * log(levels)))


def test_noise_fills_the_bin_and_learnt_noise_has_the_density_that_it_says(float64):
    torch.manual_seed(0)
    learnt = variational(shape=(1,), levels=3, num_classes=0)
    x = torch.full((40_000, 1), 2, dtype=torch.uint8)
    u, log_q = learnt(x, None, torch.rand(40_000, 1))
    assert u.min() < 0.01 and u.max() > 0.9 and 0 <= u.min() and u.max() < 1
    # of weights 1 / q(u) the mean is the length of the bin, and those in each half give its half
    for low, high in ((0, 1), (0, 0.5), (0.25, 0.5)):
        inside = ((u >= low) & (u < high))[:, 0]
        assert abs((inside * (-log_q).exp()).mean().item() - (high - low)) < 0.03
    plain, log_q = UniformDequantisation(shape=(1,), levels=3, num_classes=0)(x, None, u)
    assert torch.equal(plain, u) and not log_q.any()


@pytest.mark.parametrize("dequantisation", [UniformDequantisation, variational])
@torch.no_grad()
def test_the_bound_rises_with_the_draws_to_the_probability(float64, dequantisation):
    """Of one level of three in one dimension, whose probability is an integral over its bin."""

    class Normal(UniformDensity):
        def log_prob(self, x, y=None):
            return (-0.5 * (x / 0.3) ** 2 - log(0.3) - 0.5 * log(2 * torch.pi)).flatten(1).sum(1)

    normal = model(lambda **given: Normal(None, **given), dequantisation, levels=3, shape=(1,))
    x = torch.tensor([[2]], dtype=torch.uint8)  # its bin is [1/3, 1] on [-1, 1]
    edges = torch.special.ndtr(torch.tensor([1 / 3, 1.0]) / 0.3)
    truth = (edges[1] - edges[0]).log().item()
    torch.manual_seed(0)
    means = [normal.bound(x.expand(4_000, 1), k=k).mean().item() for k in (1, 5, 50)]
    assert means[0] < means[1] < means[2] < truth + 0.01
    assert truth - means[2] < 0.05


def test_levels_of_draws_are_those_of_the_bins(float64):
    uniform = model(lambda **given: UniformDensity(None, **given), levels=4)
    v = torch.tensor([-1.5, -1.0, -0.51, -0.49, 0.0, 0.99, 1.0, 3.0])
    assert uniform.to_levels(v[None]).tolist() == [[0, 0, 0, 1, 2, 3, 3, 3]]
    assert uniform.sample(5).dtype == torch.uint8


def composed(*overrides):
    return instantiate(compose_train("model=dequantised", "data=digits", *overrides), "model", [])


def test_any_density_and_any_noise_can_be_chosen():
    config = compose_train("model=dequantised", "data=digits", "model/density=maf", "model/dequantisation=variational")
    made = instantiate(config, "model", [])
    assert isinstance(made.dequantisation, VariationalDequantisation)
    with pytest.raises(ConfigError, match="levels=null: data of reals need no dequantisation"):
        instantiate(compose_train("model=dequantised", "data=toy"), "model", [])
    with pytest.raises(ConfigError, match="alpha"):
        composed("model.logit_alpha=0.5")


def test_an_inner_density_is_initialised_by_dequantised_data():
    made = composed("model/density=maf", "model.logit_alpha=null")
    x = torch.randint(17, (200, 1, 8, 8)).to(torch.uint8)
    made.initialise(x, None)
    v, _ = made.to_reals(x)
    assert (made.density.standardise.mean - v.mean(0)).abs().max() < 0.1
    assert made.initial_examples is None
    shown = made.conditional_mean(made.sample_prior(3))
    assert shown.shape == (3, 1, 8, 8) and 0 <= shown.min() and shown.max() <= 16
