"""Longer checks: distributed runs through the real command, and the published number."""

import csv
import json
import os
import subprocess
import sys

import pytest
from tiny_overrides import FIDELITY, NETS

pytestmark = pytest.mark.slow
COMMON = ["data=digits", "data.limit=1280", "training.max_epochs=3", "training.max_images=null", "samples.n=16"]
DDP = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "training.batch_size=32"]


def run(folder, *arguments):
    """``genexp train ...`` as a process of its own; the run must end well."""
    command = [sys.executable, "-m", "genexp", "train", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curve(folder, metric):
    with open(folder / "metrics.csv") as file:
        return [(int(r["images"]), float(r["value"])) for r in csv.DictReader(file) if r["metric"] == metric]


def test_two_processes_learn_what_one_learns_with_the_double_batch(tmp_path):
    model = ["model=made", *NETS["made"], *COMMON, "metrics=nll"]
    run(tmp_path, *model, *DDP, "name=two")
    run(tmp_path, *model, "trainer=cpu", "training.batch_size=64", "name=one")
    two, one = (curve(tmp_path / "outputs" / name, "val/loss") for name in ("two", "one"))
    assert len(one) == 3 and [i for i, _ in two] == [i for i, _ in one] == [1280, 2560, 3840]
    assert [v for _, v in two] == pytest.approx([v for _, v in one], rel=1e-4)
    assert sorted(os.listdir(tmp_path / "outputs")) == ["one", "two"]


@pytest.mark.parametrize("model", ["vae", "dcgan"])
def test_two_processes_of_the_other_families(tmp_path, model):
    run(tmp_path, f"model={model}", *NETS[model], *COMMON, *FIDELITY, *DDP, "name=two")
    status = json.loads((tmp_path / "outputs/two/status.json").read_text())
    assert status["state"] == "done" and os.listdir(tmp_path / "outputs") == ["two"]
    assert curve(tmp_path / "outputs/two", "train/loss")[-1][0] == 3840


@pytest.mark.skipif("GENEXP_DATA" not in os.environ, reason="needs the published files: set GENEXP_DATA")
def test_made_on_uci_dna_is_reproduced(tmp_path):
    assert "PASS" in run(tmp_path, "experiment=made_uci_dna", "name=dna")
