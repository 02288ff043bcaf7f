"""The contract that ``genexp.testing`` checks: a small model outside the package keeps it, and who breaks it is told how."""

from functools import partial

import pytest
import torch
from torch import nn

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood
from genexp.testing import check_model


class Independent(GenerativeModule, ExactLikelihood):
    """Dimensions that are independent given the label."""

    def __init__(self, **base):
        super().__init__(**base)
        self.logits = nn.Parameter(torch.randn(max(1, self.label_width), self.dims, self.levels))

    def conditionals(self, n, y):
        labels = self.labels(y)
        return torch.distributions.Categorical(logits=self.logits[torch.zeros(n).long() if labels is None else labels])

    def log_prob(self, x, y=None):
        return self.conditionals(len(x), y).log_prob(x.flatten(1).long()).sum(1)

    def loss(self, x, y=None):
        return {"loss": -self.log_prob(x, y)}

    def draw(self, n, y):
        return self.conditionals(n, y).sample().view(n, *self.shape).to(torch.uint8)


class Reduced(Independent):
    def loss(self, x, y=None):
        return {"loss": -self.log_prob(x, y).mean()}


class Infinite(Independent):
    def loss(self, x, y=None):
        return super().loss(x, y) | {"other": torch.full((len(x),), torch.inf)}


class Unused(Independent):
    def __init__(self, **base):
        super().__init__(**base)
        self.spare = nn.Linear(2, 2, bias=False)


class OutOfRange(Independent):
    def draw(self, n, y):
        return super().draw(n, y) + 1


class Floats(Independent):
    def draw(self, n, y):
        return super().draw(n, y).float()


class Constant(Independent):
    def draw(self, n, y):
        return self.conditionals(n, y).logits.argmax(-1).view(n, *self.shape).to(torch.uint8)


class SamplesIgnoreLabels(Independent):
    def draw(self, n, y):
        return super().draw(n, None if y is None else torch.zeros_like(y))


class LossIgnoresLabels(Independent):
    def loss(self, x, y=None):
        return super().loss(x, None if y is None else torch.zeros_like(y))


class NeedsNoLabels(Independent):
    def labels(self, y):
        return torch.zeros(4).long() if y is None and self.conditional else y if self.conditional else None

    def loss(self, x, y=None):
        return super().loss(x, torch.zeros(len(x)).long() if y is None else y)


class AnyKnob(Independent):
    def check_knobs(self, knobs):
        pass

    def sample(self, n, y=None, **knobs):
        return super().sample(n, y)


class NotTheSame(Independent):
    def log_prob(self, x, y=None):
        return super().log_prob(x, y) - torch.rand(len(x))


class Density(Independent):
    def log_prob(self, x, y=None):
        return super().log_prob(x, y) + 1000


class Forgetful(Independent):
    def on_load_checkpoint(self, checkpoint):
        pass


class Hidden(Independent):
    """Has a state that no checkpoint holds."""

    def __init__(self, **base):
        super().__init__(**base)
        self.offset = 5 * torch.randn(self.dims, self.levels)

    def conditionals(self, n, y):
        return torch.distributions.Categorical(logits=super().conditionals(n, y).logits + self.offset)


class Still(Independent):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def maker(model, conditional=True):
    return partial(
        model,
        shape=(1, 3, 3),
        levels=4,
        num_classes=3,
        conditional=conditional,
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )


@pytest.mark.parametrize("conditional", [False, True])
def test_a_model_that_keeps_the_contract(conditional):
    check_model(maker(Independent, conditional))


def test_other_data():
    check_model(partial(maker(Independent, conditional=False), shape=(5,), num_classes=None))


BROKEN = {
    Reduced: r"'loss' of loss\(\) has shape \(\), not \(6,\)",
    Infinite: r"'other' of loss\(\) is not finite",
    Unused: r"without a gradient: spare\.weight",
    OutOfRange: "has values of levels=4 or more",
    Floats: r"has dtype torch\.float32, not torch\.uint8",
    Constant: "the same under two seeds",
    SamplesIgnoreLabels: r"sample\(\) ignores them",
    LossIgnoresLabels: r"loss\(\) ignores them|without a gradient",
    NeedsNoLabels: r"loss\(x\) of a conditional model is not refused",
    AnyKnob: r"sample\(2, no_such_knob=1\) is not refused",
    NotTheSame: "log_prob differs",
    Density: "log_prob of discrete data is not below 0",
    Forgetful: "does not give steps and images_seen back",
    Hidden: r"its state is not all in state_dict\(\)",
    Still: "do not move: logits",
}


@pytest.mark.parametrize("model", BROKEN)
def test_what_is_broken_is_named(model):
    with pytest.raises(AssertionError, match=BROKEN[model]):
        check_model(maker(model))
