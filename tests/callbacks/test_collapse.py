"""A run that collapses ends with the reason, and the checkpoint from before is kept as the best."""

import sys

import pytest

from genexp.callbacks.collapse import Collapse, TrainingCollapsed
from genexp.record import checkpoint
from genexp.record.folder import RunFolder

COLLAPSING = """
import torch
from genexp.families.autoregressive import Autoregressive

class Collapsing(Autoregressive):
    def training_step(self, batch, batch_idx):
        spread = {spread}
        return super().training_step(batch, batch_idx) | {"spread": torch.tensor(spread)}
"""
FROM_STEP_30 = "0.5 if self.steps < 30 else 0.01"


@pytest.fixture
def collapsing(genexp, tiny):
    """Trains a stand-in that logs ``spread`` as the expression says; an epoch has 21 steps and 1,297 images."""

    def run(spread, *more):
        (genexp.folder / "collapsing.py").write_text(COLLAPSING.replace("{spread}", spread))
        sys.modules.pop("collapsing", None)
        stand_in = ["model._target_=collapsing.Collapsing", "allow_targets=[collapsing]", "metrics=nll"]
        settings = ["training.max_images=6000", "training.collapse={images: 2000, below: {spread: 0.1, loss: null}}"]
        return genexp(*tiny("made", *stand_in, *settings, *more))

    return run


def test_values_are_looked_at_when_they_are_logged():
    watch = Collapse(100, {"a": 1.0, "b": 0.0, "c": None})
    watch.look({"a": 2.0, "b": 1.0}, 50)
    watch.look({"a": 0.9, "b": 1.0}, 100)  # below since some time after 50
    assert watch.is_suspected
    watch.look({"a": 1.0, "b": -1.0}, 149)
    assert watch.is_suspected
    watch.look({"a": 0.0, "b": 0.0}, 200)
    resumed = Collapse(100, {"a": 1.0, "b": 0.0})
    resumed.load_state_dict(watch.state_dict())
    resumed.look({"a": 0.5, "b": 1.0}, 248)
    for one in (watch, resumed):
        with pytest.raises(TrainingCollapsed, match=r"a has been below 1 since 149 images and is 0\.25 at 249"):
            one.look({"a": 0.25, "b": 1.0}, 249)
    with pytest.raises(ValueError, match=r"training\.collapse\.below\.b: training logs a"):
        watch.look({"a": 1.0}, 300)


def test_a_run_that_collapses_ends_and_keeps_the_checkpoint_from_before(genexp, collapsing):
    for monitor in ("null", "val/loss"):
        code, _, err = collapsing(FROM_STEP_30, f"training.monitor={monitor}", f"name={monitor[:3]}")
        status = genexp.json(f"outputs/{monitor[:3]}/status.json")
        assert code == 1 and status["state"] == "failed" and status["error"] in err
        assert status["error"].startswith("TrainingCollapsed: spread has been below 0.1 since 1,")
        assert status["error"].endswith(f"the last good checkpoint is outputs/{monitor[:3]}/checkpoints/best.ckpt")
        at = RunFolder(f"outputs/{monitor[:3]}").checkpoints
        assert [checkpoint.load(at / f"{n}.ckpt")["images_seen"] for n in ("best", "last")] == [1297, 3 * 1297]
    code, _, err = genexp("evaluate", "run=outputs/val", "metrics=nll", "allow_targets=[collapsing]")
    assert code == 0, err


def test_a_run_that_recovers_goes_on(genexp, collapsing):
    assert collapsing("0.01 if 40 <= self.steps < 50 else 0.5", "training.monitor=null", "name=a")[0] == 0
    assert checkpoint.load("outputs/a/checkpoints/best.ckpt")["images_seen"] >= 6000


@pytest.mark.parametrize("monitor", ["null", "val/loss"])
def test_a_good_checkpoint_replaces_one_that_never_was(genexp, collapsing, monitor):
    spread = "0.01 if self.steps < 30 else 0.5"
    code, _, err = collapsing(spread, f"training.monitor={monitor}", "name=a", "training.max_images=3000")
    assert code == 0, err
    assert checkpoint.load("outputs/a/checkpoints/best.ckpt")["images_seen"] > 1297
    code, _, err = collapsing("0.01", f"training.monitor={monitor}", "name=b")
    assert code == 1 and "there is no good checkpoint" in err


def test_a_resumed_run_keeps_its_count(genexp, collapsing, interrupt):
    assert collapsing(FROM_STEP_30, "name=whole")[0] == 1
    interrupt(38)
    assert collapsing(FROM_STEP_30, "name=parts")[0] == 143
    assert collapsing(FROM_STEP_30, "name=parts", "resume=true")[0] == 1
    whole, parts = (genexp.json(f"outputs/{name}/status.json")["error"] for name in ("whole", "parts"))
    assert parts == whole.replace("outputs/whole", "outputs/parts")
    code, _, err = genexp("train", "run=outputs/parts", "training.collapse=null", "allow_targets=[collapsing]")
    assert code == 0, err


DIVERGING = """
from torch.optim.lr_scheduler import LambdaLR

def late(optimizer, steps):
    return LambdaLR(optimizer, lambda step: 1.0 if step < steps else 1e30)
"""


@pytest.mark.parametrize(
    ("steps", "end"), [(0, "there is no checkpoint yet"), (21, "is outputs/a/checkpoints/last.ckpt")]
)
def test_a_diverging_run_names_the_last_good_checkpoint(genexp, tiny, steps, end):
    (genexp.folder / "diverging.py").write_text(DIVERGING)
    schedule = f"{{_target_: diverging.late, _partial_: true, steps: {steps}}}"
    code, _, err = genexp(*tiny("vae", "name=a", f"model.scheduler={schedule}", "allow_targets=[diverging]"))
    assert code == 3 and "TrainingDiverged" in err and err.strip().endswith(end), err


@pytest.mark.parametrize(
    ("collapse", "line"),
    [
        ("{images: 0, below: {loss: 1}}", "training.collapse.images=0: must be a whole number"),
        (
            "{image: 10, below: {loss: 1}}",
            "training.collapse.image: collapse has no such setting. Did you mean 'images'?",
        ),
        ("{images: 10, below: {loss: low}}", "training.collapse.below.loss=low: must be a number, or null"),
    ],
)
def test_settings_that_cannot_be_are_refused(genexp, tiny, collapse, line):
    code, _, err = genexp(*tiny("made", "name=a", f"training.collapse={collapse}"))
    assert code == 2 and line in err and err.count("\n") == 1, err
