"""The likelihood is that of the conditionals that are drawn from; an ensemble is a mixture."""

import math

import pytest
import torch

from genexp.families.autoregressive import Autoregressive
from genexp.metrics.likelihood import ExactNLL
from genexp.networks.autoregressive.gated_pixelcnn import GatedPixelCNN
from genexp.networks.autoregressive.made import MADE
from genexp.probability.observation.base import Categorical, Normal
from genexp.record.instantiate import instantiate

LEVELS = 3


def make(shape=(2, 3), levels=LEVELS, observation=Categorical, ensemble=1, validation_ensemble=1, **changes):
    settings = {
        "hidden": [20],
        "activation": torch.nn.Tanh(),
        "random_order": True,
        "num_masks": 4,
        "mask_seed": 0,
        "direct": True,
        "initialisation": torch.nn.init.normal_,
    }
    torch.manual_seed(0)
    return Autoregressive(
        shape=shape,
        levels=levels,
        num_classes=None,
        conditional=False,
        network=lambda **sizes: MADE(**sizes, **settings | changes),
        observation=observation,
        ensemble=ensemble,
        validation_ensemble=validation_ensemble,
    )


def normal(levels):
    return Normal(levels, min_log_std=-5.0)


def test_the_likelihood_of_reals_is_that_of_the_conditionals_they_were_drawn_from(float64):
    model, total = make(levels=None, observation=normal, initialisation=None), []
    draw = model.observation.sample

    def sample(params, temperature):
        x = draw(params, temperature)
        total.append(model.observation.log_prob(params, x).flatten())
        return x

    model.observation.sample = sample
    x = model.sample(50)
    assert len(total) == model.dims
    assert torch.allclose(model.log_prob(x), torch.stack(total).sum(0), rtol=1e-10)


def test_a_completion_keeps_what_is_given(float64):
    model, x = make(), torch.randint(LEVELS, (50, 2, 3)).to(torch.uint8)
    given = torch.tensor([[True, False, True], [False, False, True]])
    y = model.complete(x, given)
    assert torch.equal(y[:, given], x[:, given]) and not torch.equal(y, x) and y.dtype == torch.uint8
    assert torch.equal(model.complete(x, torch.ones(2, 3).bool()), x)
    for wrong in (given[0], given.int()):
        with pytest.raises(ValueError, match=r"must be bool \(2, 3\)"):
            model.complete(x, wrong)


def test_completions_follow_the_conditional_distribution(float64, all_examples):
    model, n = make(shape=(3,), random_order=False), 40_000
    x = torch.tensor([[2, 0, 0]], dtype=torch.uint8).expand(n, -1)
    space = all_examples((3,), LEVELS)
    joint = model.log_prob(space).exp().detach()
    expected = joint[space[:, 0] == 2] / joint[space[:, 0] == 2].sum()
    torch.manual_seed(1)
    y = model.complete(x, torch.tensor([True, False, False])).long()
    found = torch.bincount(y[:, 1] * LEVELS + y[:, 2], minlength=LEVELS**2) / n
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt() + 1e-4).all()


def test_long_sampling_is_tracked():
    model, seen = make(), []
    model.context.track = lambda steps, what: (seen.append((len(steps), what)), steps)[1]
    model.sample(2)
    assert seen == [(6, "sampling")]


def test_an_ensemble_is_the_log_of_the_mean_of_the_probabilities(float64):
    x = torch.randint(LEVELS, (20, 2, 3)).to(torch.uint8)
    model = make(ensemble=4)
    each = torch.stack([model.order_log_prob(x, None, order) for order in range(4)])
    assert torch.allclose(model.log_prob(x), each.exp().mean(0).log(), rtol=1e-12)
    assert (model.log_prob(x) > each.mean(0) + 1e-3).all()


def test_samples_of_an_ensemble_follow_its_mixture(float64, all_examples):
    model, n = make(shape=(2,), ensemble=4), 40_000
    expected = model.log_prob(all_examples((2,), LEVELS)).exp().detach()
    torch.manual_seed(1)
    x = model.sample(n).long()
    found = torch.bincount(x[:, 0] * LEVELS + x[:, 1], minlength=LEVELS**2) / n
    assert ((found - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt() + 1e-4).all()


def test_each_example_of_a_mixture_is_drawn_in_one_order(float64, monkeypatch):
    model, counts = make(ensemble=4), {}
    full = model.draw_order

    def spy(x, given, y, order, *rest):
        counts[order] = len(x)
        return full(x, given, y, order, *rest)

    monkeypatch.setattr(model, "draw_order", spy)
    model.sample(40)
    assert sum(counts.values()) == 40 and set(counts) == {0, 1, 2, 3}


def test_training_takes_one_order_at_random_and_evaluation_the_ensemble(float64):
    x = torch.randint(LEVELS, (5, 2, 3)).to(torch.uint8)
    for num_masks in (4, None):
        model = make(ensemble=2, validation_ensemble=3, num_masks=num_masks)
        losses = {model.loss(x)["loss"].sum().item() for _ in range(30)}
        assert len(losses) == 4 if num_masks else len(losses) > 20
        assert torch.equal(model.eval().loss(x)["loss"], -model.ensemble_log_prob(x, None, 3))


def test_the_network_is_told_the_levels():
    assert make().network.levels == LEVELS
    assert make(levels=None, observation=normal).network.levels is None


def test_temperature_sharpens_and_must_be_positive():
    model = make()
    cold, warm = (model.sample(200, temperature=t) for t in (1e-4, 1.0))
    assert len(cold.flatten(1).unique(dim=0)) < len(warm.flatten(1).unique(dim=0))
    assert model.log_prob(cold).mean() > model.log_prob(warm).mean()
    with pytest.raises(ValueError, match="temperature=0"):
        model.sample(2, temperature=0)


@pytest.mark.parametrize(
    ("change", "rule"),
    [({"ensemble": 5}, "at most 4"), ({"validation_ensemble": 5}, "at most 4"), ({"ensemble": 0}, "at least 1")],
    ids=str,
)
def test_an_ensemble_needs_as_many_trained_orders(change, rule):
    (name,) = change
    with pytest.raises(ValueError, match=f"^{name}=.*{rule}"):
        make(**change)
    assert make(ensemble=50, num_masks=None).ensemble == 50


@pytest.mark.parametrize("model", ["made", "gated_pixelcnn"])
def test_a_uniform_model_scores_log2_levels_bits_per_dim(compose_train, model):
    """Through the configs, real data and the metric."""
    config = compose_train(f"model={model}", "data=digits")
    model, data = (instantiate(config, name, []) for name in ("model", "data"))
    output = {MADE: lambda n: [n.output, n.direct], GatedPixelCNN: lambda n: [n.head[-1]]}[type(model.network)]
    with torch.no_grad():
        for layer in output(model.network):
            for parameter in layer.parameters():
                parameter.zero_()
    nats, bpd = ExactNLL().compute(model, data, "test", seed=0)
    assert nats.value == pytest.approx(64 * math.log(17), rel=1e-6)
    assert bpd.key == "test/nll_bpd" and bpd.value == pytest.approx(math.log2(17), rel=1e-6)
    assert bpd.n == 250 and bpd.stderr == pytest.approx(0, abs=1e-6)
