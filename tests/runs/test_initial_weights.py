"""A training that begins with the weights of another run, whole or in parts."""

import csv

import pytest
from equal_runs import assert_equal, outcome

from genexp.record import checkpoint
from genexp.record.checksum import recorded_digest
from genexp.record.errors import ConfigError
from genexp.runs.train_config import check

FROZEN = "model.optimizer.lr=1e-30"
"""So that a step changes nothing."""


def val_loss(folder):
    with open(folder / "metrics.csv") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "val/loss"]


def test_a_run_begins_where_another_ended(genexp, tiny, finished, interrupt):
    """With the average of its weights, as an evaluation has it; a continued run does not take them again, and equals the
    uninterrupted one; a repetition says what differs."""
    finished("made", "name=a", "metrics=nll", "training.ema_decay=0.9")
    first = genexp.folder / "outputs/a"
    begin = "training.initial_weights=outputs/a"
    code, out, err = genexp(*tiny("made", "name=still", "metrics=nll", begin, FROZEN, "training.max_steps=1"))
    assert code == 0 and "starts from outputs/a (best, 1,553 images seen): 5 of the model's 5 tensors" in out, err
    assert val_loss(genexp.folder / "outputs/still") == val_loss(first)[-1:]
    record = genexp.json("outputs/still/status.json")["initial_weights"]
    digest = recorded_digest(first / "checkpoints/best.ckpt")
    assert record == {
        "run": "outputs/a",
        "checkpoint": "best",
        "sha256": digest,
        "images_seen": 1553,
        "tensors": 5,
        "of": 5,
    }

    command = tiny("made", "metrics=nll", begin, "training.ema_decay=0.5")
    assert genexp(*command, "name=b")[0] == 0
    average = checkpoint.load(genexp.folder / "outputs/b/checkpoints/last.ckpt")["ema"]
    interrupt(7)
    assert genexp(*command, "name=parts")[0] == 143
    first.rename(genexp.folder / "elsewhere")
    assert genexp("train", "run=outputs/parts")[0] == 0
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/b"))
    assert average.keys() == checkpoint.load(genexp.folder / "elsewhere/checkpoints/best.ckpt")["ema"].keys()
    code, _, err = genexp("repeat", "outputs/b")
    assert code == 2 and err.startswith("genexp: error: training.initial_weights: outputs/a holds no run")


def test_parts_are_taken_by_name_or_by_fit(genexp, tiny, finished):
    finished("vae", "name=a", "metrics=bound")
    other = tiny("vae", "metrics=bound", FROZEN, "training.max_steps=1", "model.decoder.hidden=[8]")
    code, _, err = genexp(*other, "name=b", "training.initial_weights=outputs/a")
    assert code == 2 and "training.initial_weights: decoder." in err and "parts: matching} takes what fits" in err
    states = {}
    for name, parts in (("fit", "matching"), ("part", "[encoder]")):
        code, out, err = genexp(*other, f"name={name}", f"training.initial_weights={{run: outputs/a, parts: {parts}}}")
        assert code == 0 and "starts from outputs/a" in out, err
        states[name] = checkpoint.load(genexp.folder / "outputs" / name / "checkpoints/last.ckpt")["state_dict"]
    theirs = checkpoint.load(genexp.folder / "outputs/a/checkpoints/best.ckpt")["state_dict"]
    equal = {
        name: {
            key
            for key in state
            if key in theirs and state[key].shape == theirs[key].shape and state[key].equal(theirs[key])
        }
        for name, state in states.items()
    }
    encoder = {key for key in theirs if key.startswith("encoder.")}
    assert encoder <= equal["part"] and encoder < equal["fit"]
    code, _, err = genexp(*other, "name=c", "training.initial_weights={run: outputs/a, parts: [encodr]}")
    assert code == 2 and "the model has no part encodr. Did you mean 'encoder'?" in err


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("outputs/none", "training.initial_weights: outputs/none holds no run"),
        ("7", "training.initial_weights=7: must be text, or a mapping, or null"),
        ("{}", "training.initial_weights={}: must be a run folder, or {run"),
        ("{parts: all}", "training.initial_weights.run is missing"),
        (
            "{run: x, part: all}",
            "training.initial_weights.part: training.initial_weights has no such setting. Did you mean",
        ),
        ("{run: x, parts: most}", "training.initial_weights.parts=most: must be one of all, matching, or a list"),
        ("{run: x, parts: []}", "training.initial_weights.parts=[]: must be all, matching, or names"),
    ],
)
def test_what_names_no_weights_is_refused(compose_train, value, line):
    with pytest.raises(ConfigError) as refused:
        check(compose_train("model=made", "data=digits", f"training.initial_weights={value}"))
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)
