"""Run folders and configs that somebody made to do harm; scripts/torture tries them all."""

import json
import os

import pytest
from omegaconf import OmegaConf
from torture.hostile import BOMB, DEEP, try_targets, try_text, try_yaml


@pytest.fixture
def run(genexp, finished):
    finished("made", "name=x", "metrics=nll")
    return genexp.folder / "outputs" / "x"


@pytest.mark.parametrize("every", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_nothing_in_a_run_folder_is_executed(run, tmp_path, every):
    found = try_targets(run, tmp_path / "work", every)
    assert found["tried"] > 5 and found["refused"] == found["tried"] and not found["effects"], found


@pytest.mark.parametrize("text", [BOMB, pytest.param(DEEP, marks=pytest.mark.slow)], ids=["swells", "deep"])
def test_yaml_that_swells_is_refused_by_every_verb(run, tmp_path, text):
    (tmp_path / "work").mkdir()
    found = try_yaml(run, tmp_path / "work", [text])
    assert found["tried"] > 8 and not found["amiss"], found


def test_hostile_text_is_shown_by_every_verb(run, tmp_path):
    (tmp_path / "work").mkdir()
    found = try_text(run, tmp_path / "work")
    assert found["tried"] > 10 and not found["amiss"], found


def test_a_run_folder_reads_no_secret_of_this_machine(genexp, run, monkeypatch):
    secret = f"of-process-{os.getpid()}"
    monkeypatch.setenv("PRIVATE", secret)
    for name, tag in (("config", "${oc.env:PRIVATE}"), ("resolved", "then")):
        path = run / ".hydra" / f"{name}.yaml"
        config = OmegaConf.load(path)
        config.tags = [tag]
        OmegaConf.save(config, path)
    code, out, err = genexp("train", "run=outputs/x", "training.max_images=2000")
    assert code == 0, err
    assert secret not in out + err
    assert not [f for f in run.rglob("*") if f.is_file() and secret.encode() in f.read_bytes()]
    assert json.loads((run / "status.json").read_text())["state"] == "done"
