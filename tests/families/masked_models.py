"""Small order-agnostic models, and their likelihood computed by hand."""

from functools import partial

import torch

from genexp.families.order_agnostic import OrderAgnostic
from genexp.networks.autoregressive.masked_mlp import MaskedMLP
from genexp.networks.autoregressive.order_agnostic import MaskedNetwork
from genexp.probability.observation.base import Categorical, Normal
from genexp.probability.quantize import unit

LEVELS = 3


class Plain(MaskedMLP):
    """A network that has no faster sampler."""

    sampler = MaskedNetwork.sampler


def make(
    shape=(2, 3), num_classes=None, observation=Categorical, levels=LEVELS, network=MaskedMLP, hidden=(16,), **changes
):
    settings = {"ensemble": 1, "order_seed": 0, "validation_pairs": 1, "chunk": 1000}
    torch.manual_seed(0)
    model = OrderAgnostic(
        shape=shape,
        levels=levels,
        num_classes=num_classes,
        conditional=num_classes is not None,
        network=partial(network, hidden=hidden, activation=torch.nn.Tanh(), initialisation=None),
        observation=observation,
        **settings | changes,
    )
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.normal_(0, 0.7)
    return model


def normal(levels):
    return Normal(levels, min_log_std=-5.0)


def labels(model, n):
    return torch.arange(n) % model.num_classes if model.conditional else None


def by_hand(model, x, permutation, y=None):
    """log p(x | y, order) by a whole forward pass for every step: ``(B,)``."""
    x, total = x.flatten(1), 0
    mask = torch.zeros(x.shape)
    for d in permutation:
        inputs = unit(x, model.levels) * mask
        params = model.network(inputs.view(-1, *model.shape), mask.view(-1, *model.shape), y).flatten(2)
        total = total + model.observation.log_prob(params[:, :, d], x[:, d])
        mask[:, d] = 1
    return total.detach()
