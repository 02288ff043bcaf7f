"""Callbacks of the config beside those of every run: what they log, keep and may not be; and genexp's own switched off."""

import csv
import os

import pytest
from equal_runs import assert_equal, outcome
from omegaconf import OmegaConf

from genexp.record import checkpoint
from genexp.record.errors import ConfigError
from genexp.runs.train_config import check

COUNTER = """
from pytorch_lightning import Callback

class Counter(Callback):
    def __init__(self, first: int):
        self.n, self.opaque = first, False

    def on_train_batch_end(self, trainer, module, *_):
        self.n += 1
        module.log("mine/batches", float(self.n))

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]

class Opaque(Callback):
    def state_dict(self):
        return {"me": self}

class Checkpoints(Counter):
    pass
"""
MINE = "+callbacks.mine={_target_: mine.Counter, first: 100}"


@pytest.fixture
def mine(genexp):
    (genexp.folder / "mine.py").write_text(COUNTER)
    return genexp


def rows(folder, metric):
    with open(folder / "metrics.csv") as file:
        return [(int(r["images"]), float(r["value"])) for r in csv.DictReader(file) if r["metric"] == metric]


def test_a_continued_run_has_the_state_and_the_values_of_its_callbacks(mine, tiny, interrupt):
    """What Lightning's learning rate monitor and a callback of one's own log is in metrics.csv; a timer, a table and further
    checkpoints are beside them."""
    more = ["callbacks=[lr_monitor,rich_summary,timer,model_checkpoint]", MINE, "allow_targets=[mine]"]
    command = tiny("made", "metrics=nll", *more)
    code, out, err = mine(*command, "name=whole")
    assert code == 0 and "Total params" in out, err
    interrupt(7)
    assert mine(*command, "name=parts")[0] == 143
    assert mine(*command, "name=parts", "resume=true")[0] == 0
    whole, parts = (mine.folder / "outputs" / name for name in ("whole", "parts"))
    assert_equal(outcome(parts), outcome(whole))
    states = [checkpoint.load(run / "checkpoints/last.ckpt")["callbacks"] for run in (whole, parts)]
    assert [state["Counter"]["n"] for state in states] == [125, 125]
    assert rows(parts, "mine/batches") and {value for _, value in rows(parts, "lr-Adam")} == {1e-3}
    kept = sorted(path.name for path in (whole / "checkpoints/model_checkpoint").iterdir())
    assert kept == ["step-00000021.ckpt", "step-00000025.ckpt"]


def test_a_run_of_earlier_has_its_callbacks_of_the_trainer_still(mine, tiny, interrupt):
    interrupt(7)
    assert mine(*tiny("made", "metrics=nll", "name=old", MINE, "allow_targets=[mine]"))[0] == 143
    hydra = mine.folder / "outputs/old/.hydra"
    for name in ("config.yaml", "resolved.yaml"):
        config = OmegaConf.load(hydra / name)
        config.trainer.callbacks = [config.callbacks.mine]
        for key in ("callbacks", "curves", "progress"):
            config.pop(key)
        OmegaConf.save(config, hydra / name)
    code, _, err = mine("train", "run=outputs/old", "allow_targets=[mine]")
    assert code == 0, err
    assert checkpoint.load(mine.folder / "outputs/old/checkpoints/last.ckpt")["callbacks"]["Counter"]["n"] == 125


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["+callbacks.a={_target_: pytorch_lightning.callbacks.RichProgressBar}"],
            "callbacks.a: genexp shows progress itself",
        ),
        (
            ["+callbacks.a={_target_: pytorch_lightning.callbacks.BatchSizeFinder}"],
            "callbacks.a: BatchSizeFinder does not",
        ),
        (
            ["+callbacks.a={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val/loss}"],
            "callbacks.a.check_on_",
        ),
        (["+callbacks.a=7"], "callbacks.a=7: must be a callback"),
        (
            ["+callbacks.a={_target_: pytorch_lightning.callbacks.Timer, duratio: 1}"],
            "callbacks.a.duratio=1: Timer has no such",
        ),
        (["+callbacks.a={_target_: os.system, command: ls}"], "callbacks.a._target_=os.system is not in a module"),
        (["+trainer.callbacks=[]"], "trainer.callbacks=[]: not a setting of a run; use callbacks=..."),
    ],
)
def test_what_does_not_go_with_a_training_is_refused_with_what_does(compose_train, words, line):
    with pytest.raises(ConfigError) as refused:
        check(compose_train("model=made", "data=digits", *words))
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ("{_target_: mine.Opaque}", "callbacks.a: its state_dict() must hold tensors"),
        ("{_target_: mine.Checkpoints, first: 1}", "callbacks.a: its state and that of genexp's own Checkpoints"),
        (
            "{_target_: pytorch_lightning.callbacks.ModelCheckpoint, dirpath: outputs/x/checkpoints}",
            "callbacks.a.dirpath=",
        ),
    ],
)
def test_what_would_break_checkpoints_is_refused_before_anything_is_written(mine, tiny, node, line):
    code, _, err = mine(*tiny("made", "name=x", f"+callbacks.a={node}", "allow_targets=[mine]"))
    assert code == 2 and err.startswith(f"genexp: error: {line}") and err.count("\n") == 1
    assert not os.path.exists("outputs/x")


def test_the_other_name_of_lightning_is_understood_and_recorded_as_what_it_is(compose_train):
    config = compose_train("model=made", "data=digits", "+callbacks.a={_target_: lightning.pytorch.callbacks.Timer}")
    check(config)
    assert config.callbacks.a._target_ == "pytorch_lightning.callbacks.Timer"


def test_what_is_switched_off_is_off(genexp, tiny, drawn_curves):
    off = [o for o in tiny("made", "metrics=nll", "name=off") if not o.startswith("samples.")]
    code, out, err = genexp(*off, "samples=null", "curves=null", "progress=null")
    assert code == 0 and "evaluating" not in out, err
    assert not list(genexp.folder.glob("outputs/off/**/*.png"))


def test_curves_are_drawn_while_training_goes_on(genexp, tiny, monkeypatch):
    drawn = []
    monkeypatch.setattr("genexp.callbacks.curves.draw_curves", lambda *_: drawn.append(1))
    assert genexp(*tiny("made", "metrics=nll", "name=a", "curves.every_images=700"))[0] == 0
    assert len(drawn) == 3  # after two validations, and at the end
