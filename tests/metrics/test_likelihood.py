import math
from functools import partial

import pytest
import torch
from stand_ins import Labelled, Noisy, Single, Tensors, Uniform

from genexp.families.capabilities import ExactLikelihood
from genexp.metrics.likelihood import BoundNLL, ExactNLL, MarginalNLL, SingleBoundNLL


def images(n=10, levels=256, shape=(1, 2, 3)):
    return torch.randint(levels, (n, *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_uniform_model_scores_log2_levels_bits_per_dim(levels):
    data = Tensors(levels, test=images(levels=levels))
    nats, bpd = ExactNLL().compute(Uniform(data.shape, levels), data, "test", seed=0)
    assert (nats.key, nats.unit, bpd.key, bpd.unit) == ("test/nll_nats", "nats", "test/nll_bpd", "bits/dim")
    assert nats.value == pytest.approx(6 * math.log(levels)) and bpd.value == pytest.approx(math.log2(levels))
    assert bpd.kind == "exact" and bpd.direction == "min" and bpd.n == 10
    assert bpd.stderr == pytest.approx(0, abs=1e-6)
    assert bpd.protocol == {"data": "toy", "split": "test", "conditional": False, "examples": 10}


def test_continuous_data_have_nats_only():
    data = Tensors(None, test=torch.rand(5, 2))
    assert [v.key for v in ExactNLL().compute(Uniform((2,), None), data, "test", 0)] == ["test/nll_nats"]


def test_the_standard_error_and_the_labels():
    y = torch.arange(10)
    data = Tensors(256, 10, test=(images(), y))
    nats, bpd = ExactNLL().compute(Labelled(data.shape, 256, 10, conditional=True), data, "test", 0)
    assert nats.value == 4.5 and nats.stderr == pytest.approx(y.double().std().item() / math.sqrt(10))
    assert bpd.stderr / nats.stderr == pytest.approx(bpd.value / nats.value)
    assert nats.protocol["conditional"] is True


def test_one_example_has_no_standard_error():
    data = Tensors(256, test=images(1))
    assert ExactNLL().compute(Uniform(data.shape), data, "test", 0)[0].stderr is None


def test_bounds_have_their_own_keys_and_kind():
    data = Tensors(2, validation=images(levels=2))
    values = BoundNLL(ks=[1, 50], limit=None, repeats=1).compute(Noisy(data.shape, 2), data, "validation", 0)
    names = [f"validation/nll_bound_{unit}_k{k}" for k in (1, 50) for unit in ("nats", "bpd")]
    assert [v.key for v in values] == names
    assert {v.kind for v in values} == {"bound"}
    exact = ExactNLL().compute(Noisy(data.shape, 2), data, "validation", 0)[0].value
    assert exact < values[2].value < values[0].value


def test_draws_are_keyed_and_disturb_nothing():
    data, metric = Tensors(256, test=images()), BoundNLL(ks=[5, 1], limit=None, repeats=1)
    model = Noisy(data.shape).train()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = metric.compute(model, data, "test", 3)
    assert torch.equal(torch.get_rng_state(), state) and model.training
    torch.rand(7)
    assert metric.compute(model, data, "test", 3) == first
    assert metric.compute(model, data, "test", 4)[0].value != first[0].value
    alone = BoundNLL(ks=[1], limit=None, repeats=1).compute(model, data, "test", 3)
    assert alone == first[2:]


@pytest.mark.parametrize("limit", [1, 4, 6, 99])
def test_a_limit_takes_examples_that_the_seed_chooses(limit):
    data = Tensors(256, 10, test=(images(), torch.arange(10)))

    class Bounded(Noisy):
        def bound(self, x, y=None, k=1):
            return -y.double()

    value = BoundNLL(ks=[1], limit=limit, repeats=1).compute(Bounded(data.shape), data, "test", 0)[0]
    n = min(limit, 10)
    assert value.n == value.protocol["examples"] == n
    assert value.value == pytest.approx(data.examples("test", n, 0)[1].double().mean().item())


def test_repeats_are_averaged_and_their_spread_is_recorded():
    data, model = Tensors(2, test=images(levels=2)), Noisy((1, 2, 3), 2)
    one = BoundNLL(ks=[5], limit=None, repeats=1).compute(model, data, "test", 0)
    nats, bpd, spread = BoundNLL(ks=[5], limit=None, repeats=100).compute(model, data, "test", 0)
    assert spread.key == "test/nll_bound_repeat_sd_nats_k5" and spread.kind == "estimate"
    assert [nats.key, bpd.key] == [value.key for value in one] and nats.protocol == one[0].protocol  # one column
    assert spread.value == pytest.approx((1 / 5) / math.sqrt(12 * len(data.tensors("test")[0])), rel=0.3)
    assert nats.value == pytest.approx(6 * math.log(2) + 0.1, abs=4 * spread.value / 10) != one[0].value
    assert nats.stderr < one[0].stderr / 5  # all examples are alike, and the draws average out


def test_large_batches_are_cut_where_k_is_large(monkeypatch):
    monkeypatch.setattr("genexp.metrics.likelihood.DRAWS_AT_ONCE", 20)
    sizes, labels = [], []

    class Counting(Noisy):
        def bound(self, x, y=None, k=1):
            sizes.append(len(x))
            labels.extend(y.tolist())
            return -y.double()

    data = Tensors(256, 10, test=(images(), torch.arange(10)))
    metric = partial(BoundNLL, ks=[7], repeats=1)
    value = metric(limit=None).compute(Counting(data.shape), data, "test", 0)[0]
    assert sizes == [2, 2, 2, 2, 2] and labels == list(range(10)) and value.value == 4.5
    metric(limit=7).compute(Counting(data.shape), data, "test", 0)
    assert sizes[5:] == [2, 2, 2, 1] and labels[10:] == data.examples("test", 7, 0)[1].tolist()


@pytest.mark.parametrize("ks", [[], [0], [3, 3]])
def test_bad_ks_are_named(ks):
    with pytest.raises(ValueError, match="ks="):
        BoundNLL(ks=ks, limit=None, repeats=1)
    with pytest.raises(ValueError, match="limit=0"):
        BoundNLL(ks=[1], limit=0, repeats=1)
    with pytest.raises(ValueError, match="repeats=0"):
        BoundNLL(ks=[1], limit=None, repeats=0)


def test_a_model_without_the_capability_is_refused():
    data = Tensors(256, test=images())
    assert ExactNLL().refusal(Uniform(data.shape), data) is None
    refusal = BoundNLL(ks=[1], limit=None, repeats=1).refusal(Uniform(data.shape), data)
    assert refusal == "needs ImportanceBound, which Uniform does not provide"


def test_a_bound_without_draws_is_one_number():
    data, single = Tensors(2, test=images(levels=2)), SingleBoundNLL(limit=None)
    nats, bpd = single.compute(Single(data.shape, 2), data, "test", 0)
    assert [nats.key, bpd.key] == ["test/nll_bound_nats", "test/nll_bound_bpd"] and nats.kind == "bound"
    assert nats.value == pytest.approx(6 * math.log(2) + 1)
    refusal = BoundNLL(ks=[1], limit=None, repeats=1).refusal(Single(data.shape, 2), data)
    assert refusal == "needs ImportanceBound, which Single does not provide"
    assert "Noisy is tighter for more draws" in single.refusal(Noisy(data.shape, 2), data)


def test_what_a_model_cannot_do_on_its_data_is_refused():
    class Unfit(Uniform):
        def unfit(self, capability):
            return "only of even dimensions" if self.dims % 2 and capability is ExactLikelihood else None

    data = Tensors(256, test=images())
    assert ExactNLL().refusal(Unfit((2,)), data) is None
    assert ExactNLL().refusal(Unfit((3,)), data) == "only of even dimensions"


def test_a_conditional_model_as_one_without_labels():
    x, y = torch.zeros(3, 1, dtype=torch.uint8), torch.tensor([0, 1, 1])
    model, data = Labelled((1,), 4, num_classes=2, conditional=True), Tensors(4, 2, test=(x, y))
    values = MarginalNLL().compute(model, data, "test", 0)
    assert [value.key for value in values] == ["test/marginal_nll_nats", "test/marginal_nll_bpd"]
    assert values[0].value == pytest.approx(-math.log((1 + math.exp(-1)) / 2)) and values[0].kind == "exact"
    assert "needs a conditional model" in MarginalNLL().refusal(Uniform((1,), 4), data)
