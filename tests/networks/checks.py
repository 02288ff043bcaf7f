"""What is asked of every autoregressive network: causality, normalisation, and a sampler that equals whole forward passes."""

import pytest
import torch

from genexp.families.autoregressive import Autoregressive
from genexp.probability.observation.base import Categorical

BATCH = 2


def randomise(network, scale):
    """Weights large enough that every dependence shows."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, scale)
    return network


def model_of(make, shape, levels, num_classes=None, ensemble=1, observation=Categorical, **network):
    """An autoregressive model of the network that ``make`` makes."""
    return Autoregressive(
        shape=shape,
        levels=levels,
        num_classes=num_classes,
        conditional=num_classes is not None,
        network=lambda **sizes: make(**sizes, **network),
        observation=observation,
        ensemble=ensemble,
        validation_ensemble=1,
    )


# --- causality ----------------------------------------------------------------------------------------


def before(dims):
    """Every dimension depends on all before it."""
    return torch.ones(dims, dims).tril(-1).bool()


def dependence(network, y=None, order=0, embedding=None):
    """Which inputs move which outputs, in the sequence of the order: ``(B, T, B, D)`` magnitudes of gradients.

    ``embedding``: the module that embeds each level by itself, for networks that are no smooth function of x; the
    gradient is then with respect to what it returns, ``(B, D, E)`` in the sequence of the order."""
    torch.manual_seed(1)
    sequence = network.permutation(order)
    steps = sequence[:: network.group]
    embedded = []
    if embedding is None:
        x = torch.rand(BATCH, *network.shape, requires_grad=True)
        params = network(x, y, order)
    else:
        x = torch.rand(BATCH, *network.shape).round()
        hook = embedding.register_forward_hook(lambda _, __, out: embedded.append(out) or out.requires_grad_())
        params = network(x, y, order)
        hook.remove()
    outputs = params.flatten(2)[:, :, steps]
    found = torch.zeros(BATCH, len(steps), BATCH, network.dims)
    for b in range(BATCH):
        for t in range(len(steps)):
            for p in range(outputs.shape[1]):
                (gradient,) = torch.autograd.grad(outputs[b, p, t], embedded or [x], retain_graph=True)
                gradient = gradient.flatten(1)[:, sequence] if embedding is None else gradient.abs().sum(2)
                found[b, t] += gradient.abs()
    return found


def check_causality(network, allowed, y=None, order=0, embedding=None):
    """``allowed`` ``(T, D)``: which dimensions may, and must, move which step; no other example ever does."""
    found = dependence(network, y, order, embedding)
    for b in range(BATCH):
        assert torch.equal(found[b, :, b] > 0, allowed)
        assert (found[b, :, 1 - b] == 0).all()


# --- normalisation ------------------------------------------------------------------------------------


def total(model, x, y=None):
    """Sum of the probabilities of all examples ``x``, given the label ``y``."""
    labels = None if y is None else torch.full((len(x),), y)
    with torch.no_grad():
        log_p = model.log_prob(x, labels)
    assert log_p.std() > 0.1  # a model without any structure would prove little
    return log_p.logsumexp(0).exp().item()


def check_normalised(model, x):
    """The probabilities of all examples ``x`` sum to one, for every label, on which they depend."""
    if not model.conditional:
        assert total(model, x) == pytest.approx(1, abs=1e-12)
        return
    for y in range(model.num_classes):
        assert total(model, x, y) == pytest.approx(1, abs=1e-12)
    y = torch.zeros(len(x), dtype=torch.long)
    assert not torch.allclose(model.log_prob(x, y), model.log_prob(x, y + 1))


# --- sampling -----------------------------------------------------------------------------------------


def check_sampler(model, n=6):
    """Under one seed the incremental sampler gives, element by element, what whole forward passes give; each of its
    conditionals is that of the whole pass, and their product is the likelihood of the sample. So too for the completion
    of a part."""
    y = torch.arange(n) % model.num_classes if model.conditional else None
    draw = model.observation.sample

    def run(incremental, act):
        seen, log_p = [], []

        def sample(params, temperature):
            x = draw(params, temperature)
            seen.append(params)
            log_p.append(model.observation.log_prob(params, x).flatten(1).sum(1))
            return x

        model.observation.sample = sample
        torch.manual_seed(3)
        x = act(incremental)
        model.observation.sample = draw
        return x, seen, log_p

    x, steps, log_p = run(True, lambda incremental: model.sample(n, y, incremental=incremental))
    again, reference, _ = run(False, lambda incremental: model.sample(n, y, incremental=incremental))
    assert torch.equal(x, again) and len(x.unique()) > 1
    assert len(steps) == len(reference) >= model.network.steps
    for fast, full in zip(steps, reference, strict=True):
        assert torch.allclose(fast, full, rtol=1e-10, atol=1e-12)
    if model.ensemble == 1:
        with torch.no_grad():
            assert torch.allclose(model.log_prob(x, y), torch.stack(log_p).sum(0), rtol=1e-10)

    given = torch.zeros(model.dims, dtype=torch.bool)
    given[model.network.permutation(0)[: model.dims // 2]] = True
    given = given.view(model.shape)
    fast, steps, _ = run(True, lambda incremental: model.complete(x, given, y, incremental=incremental))
    full, reference, _ = run(False, lambda incremental: model.complete(x, given, y, incremental=incremental))
    assert torch.equal(fast, full) and torch.equal(fast[:, given], x[:, given])
    assert not torch.equal(fast, x)
    for a, b in zip(steps, reference, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)
