"""The average of the weights: by hand, swapped in for validation, and evaluated."""

import pytest
import torch
from tiny_overrides import FIDELITY
from torch import nn

from genexp.callbacks.ema import EMA
from genexp.record import checkpoint


class Model(nn.Module):
    images_seen, at_boundary = 0, True

    def __init__(self):
        super().__init__()
        self.weight, self.other = (nn.Parameter(torch.ones(2)) for _ in range(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def averaged(self):
        return {"weight"}


@pytest.mark.parametrize(("ema", "decays"), [(EMA(0.9, None), (0.9, 0.9)), (EMA(None, 64), (0.5**0.5, 0.5**2))])
def test_the_average_is_what_it_is_by_hand(ema, decays):
    model = Model()
    ema.on_train_start(None, model)
    for value, images in ((2.0, 32), (3.0, 128)):
        model.images_seen, model.at_boundary = model.images_seen + images // 2, False
        ema.on_train_batch_end(None, model)  # the first batch of a step does not count
        model.images_seen, model.at_boundary = model.images_seen + images // 2, True
        with torch.no_grad():
            model.weight.fill_(value)
            model.other.fill_(value)
            model.count += 1
        ema.on_train_batch_end(None, model)
    a, b = decays
    assert torch.allclose(ema.average["weight"], torch.full((2,), b * (a * 1 + (1 - a) * 2) + (1 - b) * 3))
    assert (ema.average["other"] == 3).all()
    assert ema.average["count"] == 2
    ema.on_validation_start(None, model)
    assert torch.equal(model.weight, ema.average["weight"])
    ema.on_validation_end(None, model)
    assert (model.weight == 3).all()


FSDP = ["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2"]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        *([[f"training.ema_decay={d}"], f"training.ema_decay={d}: must be in (0, 1)"] for d in (0, 1, -0.5, 2)),
        (["training.ema_half_life_images=0"], "training.ema_half_life_images=0: must be positive"),
        (["training.ema_decay=0.9", "training.ema_half_life_images=9"], "set one of them"),
        (["training.ema_decay=0.9", *FSDP], "training.ema_decay: FSDP does not average the weights"),
        (
            ["training.ema_half_life_images=9", *FSDP],
            "training.ema_half_life_images: FSDP does not average the weights",
        ),
    ],
)
def test_what_cannot_be_is_refused(genexp, tiny, overrides, line):
    code, _, err = genexp(*tiny("made", "name=a", *overrides))
    assert code == 2 and line in err and err.count("\n") == 1, err


def test_a_run_is_evaluated_with_its_average(genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=a", "metrics=nll", "training.ema_decay=0.9"))
    assert code == 0, err
    state = checkpoint.load("outputs/a/checkpoints/best.ckpt")
    import genexp as package

    loaded = package.load("outputs/a").state_dict()
    assert all(torch.equal(loaded[k], state["ema"][k]) for k in loaded)
    assert not all(torch.equal(loaded[k], state["state_dict"][k]) for k in loaded)
    assert {r["ema"] for r in genexp.json("outputs/a/metrics.json")} == {0.9}


def test_of_a_gan_the_generator_is_averaged_and_a_step_of_several_batches_counts_once(genexp, tiny):
    short = ["data.limit=256", "training.batch_size=32", "training.accumulate_batches=2", "training.max_epochs=1"]
    for name, half_life in (("a", 128), ("b", 1e-3)):
        code, _, err = genexp(
            *tiny("dcgan", f"name={name}", *FIDELITY, *short, f"training.ema_half_life_images={half_life}")
        )
        assert code == 0, err
    a, b = (checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt") for name in "ab")
    for name, value in a["state_dict"].items():
        is_averaged = name.startswith("generator") and value.is_floating_point() and "running" not in name
        assert torch.equal(value, a["ema"][name]) != is_averaged, name
        assert torch.equal(value, b["ema"][name]), name  # a half-life that no step survives
    assert a["steps"] == 4
    assert {r["ema"] for r in genexp.json("outputs/a/metrics.json")} == {"half-life of 128 images"}
