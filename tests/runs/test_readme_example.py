"""The example of the documentation, taken from its text: a model, a data set, a metric, a callback and a network in an outside
folder."""

import re
import shlex
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / ".readme" / "own_parts.md").read_text()
FILES = dict(re.findall(r"^`([\w./]+)`\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
COMMAND, NETWORK_COMMAND = re.findall(r"^genexp (train --config-dir .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def outside(genexp):
    assert len(FILES) == 11
    for name, text in FILES.items():
        (genexp.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (genexp.folder / name).write_text(text)
    yield genexp
    for name in ("mymodel", "mydata", "mymetric", "mynetwork", "mycallback"):
        sys.modules.pop(name, None)


def test_one_file_and_one_yaml_each(outside):
    code, out, err = outside(*shlex.split(COMMAND), "name=a")
    assert code == 0, err
    assert "test/ink_error" in out
    assert (outside.folder / "outputs/a/metrics.csv").read_text().count("weights/largest") == 5
    bits = next(r["value"] for r in outside.json("outputs/a/metrics.json") if r["key"] == "test/nll_bpd")
    assert bits == pytest.approx(1, abs=0.02)  # the columns are fair coins, and it cannot see that they are columns


def test_a_network_in_the_yaml_of_a_model(outside):
    tiny = [
        "training.max_images=500",
        "model.decoder.hidden=[8]",
        "model.encoder.hidden=[8]",
        "metrics=bound",
        "name=c",
    ]
    code, out, err = outside(*shlex.split(NETWORK_COMMAND), *tiny)
    assert code == 0 and "test/nll_bound" in out, err


def test_outside_modules_must_be_allowed(outside):
    (outside.folder / "mine/genexp.yaml").unlink()
    code, _, err = outside("train", "--config-dir", "mine", "model=histogram", "metrics=nll")
    assert code == 2 and "allow_targets=[mymodel]" in err and "genexp.yaml" in err


def test_the_folder_of_configs_allows_them_for_every_verb_and_a_run_folder_for_none(outside, monkeypatch):
    run = [
        "model=histogram",
        "data=stripes",
        "metrics=[nll,ink]",
        "training.max_images=2000",
        "allow_targets=[mymodel,mydata]",
    ]
    code, _, err = outside("train", *run[:2], "--config-dir", "mine", *run[2:], "name=a", "samples.n=4")
    assert code == 0, err
    verbs = {
        "evaluate": ["run=outputs/a", "metrics=ink"],
        "sample": ["run=outputs/a", "n=4"],
        "train": ["run=outputs/a", "training.max_images=3000"],
        "repeat": ["outputs/a", "name=b"],
    }
    for verb, words in verbs.items():
        code, _, err = outside(verb, words[0], "--config-dir", "mine", *words[1:])
        assert code == 0, err
        monkeypatch.setenv("GENEXP_ALLOW_TARGETS", "")
        monkeypatch.setenv("GENEXP_CONFIG_DIR", "")
        if verb != "evaluate":  # which has no metrics=ink to choose then
            code, _, err = outside(verb, *words, *(["name=c"] if verb == "repeat" else []))
            assert code == 2 and "is not in a module that may be named there" in err


def test_metrics_that_fit_are_also_ones_own(outside):
    code, _, err = outside("train", "--config-dir", "mine", "model=dcgan", "data=digits", "metrics=nll")
    assert code == 2 and "ink" in err.split("metrics that fit:")[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow: [x]", "must hold allow_targets"),
        ("allow_targets: mymodel", "allow_targets=mymodel"),
        ("allow_targets: [", "mine/genexp.yaml"),
        ("- x", "must hold allow_targets"),
    ],
)
def test_a_wrong_allow_list_is_one_line(outside, text, message):
    (outside.folder / "mine/genexp.yaml").write_text(text)
    for verb in ("train", "evaluate", "published"):
        code, _, err = outside(verb, "--config-dir", "mine")
        assert code == 2 and message in err and err.count("\n") == 1, err


def test_they_combine_with_what_is_shipped(outside, monkeypatch):
    monkeypatch.setenv("GENEXP_ALLOW_TARGETS", "mymodel,mydata,mymetric")
    arguments = ["train", "--config-dir", "mine", "data=stripes", "model=vae_conv", "metrics=[bound,ink]", "name=b"]
    code, out, err = outside(
        *arguments, "training.max_images=500", "model.encoder.channels=4", "model.decoder.channels=4"
    )
    assert code == 0, err
    code, out, err = outside("evaluate", "--config-dir", "mine", "run=outputs/b", "metrics=ink", "split=validation")
    assert code == 0 and "validation/ink_error" in out, err


def test_an_own_experiment_is_found_and_train_is_the_verb_that_needs_no_name(outside):
    (outside.folder / "mine/experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /model: histogram\n  - override /data: stripes\n"
    text += "  - override /metrics: ink\nallow_targets: [mymodel, mydata, mymetric]\ntraining: {max_images: 2000}\nname: x\n"
    (outside.folder / "mine/experiment/x.yaml").write_text(text)
    code, out, err = outside("--config-dir", "mine", "experiment=x")
    assert code == 0 and "test/ink_error" in out, err
