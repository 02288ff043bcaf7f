import pytest
import torch
from linear_gaussian import NOISE, linear_gaussian
from stand_ins import Tensors
from torch.distributions import Normal

from genexp.metrics.annealed_nll import AnnealedNLL

SETTINGS = {
    "limit": 30,
    "chains": 10,
    "steps": 40,
    "steepness": 4.0,
    "leapfrog_steps": 3,
    "target_acceptance": 0.65,
    "step_size": 0.5,
    "adaptation": 0.1,
    "at_once": 200,
}


def measure(x, notes=None, **changes):
    """By a decoder with a wrong encoder."""
    model = linear_gaussian([0.0] * 3, [1.0] * 3, [1.0, 0.0, 2.0])
    model.context.note = ([] if notes is None else notes).append
    return AnnealedNLL(**SETTINGS | changes).compute(model, Tensors(None, test=x), "test", 0)


def test_it_is_the_likelihood_of_the_decoder(float64):
    torch.manual_seed(0)
    spread = (torch.tensor([1.0, 0.0, 2.0]) ** 2 + NOISE**2).sqrt()
    x = spread * torch.randn(40, 3)
    exact = -Normal(0.0, spread).log_prob(x[:30]).sum(1).mean()
    notes = []
    nll, gap = measure(x, notes)
    assert (nll.key, gap.key) == ("test/nll_ais_nats", "test/ais_gap_nats") and {nll.kind, gap.kind} == {"estimate"}
    assert nll.n == gap.n == 30 and nll.protocol["chains"] == 10 and gap.protocol["examples_from"] == "model"
    assert abs(nll.value - exact) < 0.05 and nll.stderr > 0.1
    assert -0.05 < gap.value < 0.4
    assert len(notes) == 1 and "transitions accepted" in notes[0]
    few = measure(x, steps=2, chains=1)
    assert few[1].value > 5 * abs(gap.value) and few[0].value > exact + 1
    state = torch.get_rng_state()
    assert measure(x, steps=2, chains=1) == few and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 0},
        {"chains": 0},
        {"steps": 0},
        {"leapfrog_steps": 0},
        {"at_once": 0},
        {"steepness": 0.0},
        {"step_size": -1.0},
        {"adaptation": 0.0},
        {"target_acceptance": 1.0},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}=.*must be"):
        AnnealedNLL(**SETTINGS | change)
