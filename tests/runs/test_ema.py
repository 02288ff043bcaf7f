"""The average of the weights: by hand, swapped in for validation, and evaluated."""

import pytest
import torch
from torch import nn

from genexp.callbacks.ema import EMA
from genexp.runs import checkpoint


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.steps = 0


def test_the_average_is_what_it_is_by_hand():
    model, ema = Model(), EMA(0.9)
    ema.on_train_start(None, model)
    for value in (2.0, 3.0):
        model.steps += 1
        with torch.no_grad():
            model.weight.fill_(value)
            model.count += 1
        ema.on_train_batch_end(None, model)
        ema.on_train_batch_end(None, model)  # a batch without an optimizer step does not count
    assert torch.allclose(ema.average["weight"], torch.full((2,), 0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 3))
    assert ema.average["count"] == 2
    ema.on_validation_start(None, model)
    assert torch.equal(model.weight, ema.average["weight"])
    ema.on_validation_end(None, model)
    assert (model.weight == 3).all()


@pytest.mark.parametrize("decay", [0, 1, -0.5, 2])
def test_the_decay_is_checked(genexp, tiny, decay):
    code, _, err = genexp(*tiny("made", "name=a", f"training.ema_decay={decay}"))
    assert code == 2 and f"training.ema_decay={decay}: must be between 0 and 1" in err


def test_a_run_is_evaluated_with_its_average(genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=a", "metrics=nll", "training.ema_decay=0.9"))
    assert code == 0, err
    state = checkpoint.load("outputs/a/checkpoints/best.ckpt")
    import genexp as package

    loaded = package.load("outputs/a").state_dict()
    assert all(torch.equal(loaded[k], state["ema"][k]) for k in loaded)
    assert not all(torch.equal(loaded[k], state["state_dict"][k]) for k in loaded)
    assert {r["ema"] for r in genexp.json("outputs/a/metrics.json")} == {0.9}
