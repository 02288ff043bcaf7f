"""The causal transformer: causality, normalisation, and a sampler with caches that equals whole forward passes."""

import pytest
import torch
from checks import before, check_causality, check_normalised, check_sampler, model_of, randomise
from torch import nn

from genexp.networks.autoregressive.transformer import Transformer
from genexp.probability.observation.base import Bernoulli, DiscretizedLogisticMixture

SIZES = {"depth": 2, "heads": 2, "width": 8, "mlp_ratio": 2, "dropout": 0.0}


def make(shape, num_params, num_classes=0, levels=3, **changes):
    network = Transformer(shape=shape, num_params=num_params, num_classes=num_classes, levels=levels, **SIZES | changes)
    return randomise(network, 0.5)


def model(shape, levels, num_classes=None, **changes):
    return model_of(make, shape, levels, num_classes, **changes)


@pytest.fixture(autouse=True)
def _float64(float64):
    pass


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 2, 2), (7,)], ids=str)
@pytest.mark.parametrize("sizes", [{}, {"depth": 1, "heads": 1}], ids=str)
def test_a_position_sees_all_before_it_and_nothing_else(shape, labels, sizes):
    network = make(shape, 2, num_classes=3 if labels else 0, **sizes)
    y = torch.tensor([2, 0]) if labels else None
    check_causality(network, before(network.dims), y, embedding=network.embedding)


@pytest.mark.parametrize("num_classes", [None, 2])
@pytest.mark.parametrize("shape, levels", [((1, 2, 3), 3), ((3, 1, 2), 3), ((5,), 3), ((8,), 2)], ids=str)
def test_it_is_normalised(all_examples, shape, levels, num_classes):
    check_normalised(model(shape, levels, num_classes), all_examples(shape, levels))


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "shape, sizes",
    [
        ((1, 4, 5), {}),
        ((3, 2, 3), {"heads": 1}),
        ((11,), {"heads": 4, "width": 12, "depth": 3, "mlp_ratio": 1.5}),
    ],
    ids=str,
)
def test_the_caches_give_what_whole_passes_give(shape, sizes, num_classes):
    check_sampler(model(shape, 4, num_classes, **sizes))


@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_single_dimension_depends_on_the_label_alone(num_classes):
    network, y = make((1,), 3, num_classes), torch.tensor([0, 2]) if num_classes else None
    with torch.no_grad():
        params = network(torch.rand(2, 1), y)[:, :, 0]
        assert torch.allclose(network.sampler(2, y)(torch.zeros(2, 1), 0), params)
    assert torch.equal(params[0], params[1]) == (num_classes == 0)


@pytest.mark.parametrize(
    "observation, levels",
    [(Bernoulli, 2), (lambda levels: DiscretizedLogisticMixture(levels, 2), 256)],
    ids=["bernoulli", "logistic"],
)
def test_other_observations(observation, levels):
    check_sampler(model((2, 2, 3), levels, 3, observation=observation))


def test_every_level_has_its_embedding_at_any_precision():
    for levels in (2, 17, 256):
        network = make((4,), 1, levels=levels)
        every = torch.arange(levels)
        for dtype in (torch.float32, torch.float64):
            assert torch.equal(network.indices(every.to(dtype) / (levels - 1)), every)


def test_initial_weights_are_those_of_gpt_2():
    torch.manual_seed(0)
    network = Transformer(shape=(300,), num_params=2, num_classes=0, levels=200, **SIZES | {"width": 64, "depth": 8})
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        elif parameter.numel() > 1000:
            residual = name.endswith(("mix.weight", "contract.weight"))
            assert parameter.std().item() == pytest.approx(0.02 / (4 if residual else 1), rel=0.1), name


def test_dropout_acts_in_training_only():
    network, x = make((9,), 2, dropout=0.3), torch.rand(2, 9)
    assert torch.equal(network.eval()(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))
    assert torch.equal(make((9,), 2).train()(x), network.eval()(x))


def test_it_runs_under_autocast():
    torch.set_default_dtype(torch.float32)
    network, x = make((1, 3, 3), 4), torch.rand(2, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        params = network(x)
        params.float().square().mean().backward()
        with torch.no_grad():
            step = network.sampler(2, None)(torch.zeros(2, 9), 0)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert torch.allclose(step.float(), params[:, :, 0, 0, 0].float(), atol=0.3)
    assert torch.allclose(params.float(), network(x), atol=0.5)


def test_its_blocks_are_blocks():
    from genexp.networks.blocks.base import Block

    network = make((4,), 2, depth=3)
    inside = {id(p) for m in network.modules() if isinstance(m, Block) for p in m.parameters()}
    assert len(network.blocks) == 3 and all(isinstance(block, Block) for block in network.blocks)
    outside = [m for m in network.children() if m is not network.blocks]
    assert not inside & {id(p) for m in outside for p in m.parameters()} and isinstance(network.head, nn.Linear)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"levels": None}, r"data\.levels=null: Transformer models data with levels; for continuous data choose"),
        ({"levels": 1}, "levels=1"),
        ({"depth": 0}, "depth=0"),
        ({"heads": 3}, "heads=3: must be at least 1 and divide width=8"),
        ({"heads": 0}, "heads=0"),
        ({"mlp_ratio": 0}, "mlp_ratio=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": -0.1}, "dropout=-0.1"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make((4,), 1, **change)
