"""A whole run through the command line: what it leaves behind, and that it is determined by config and seed."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_overrides import FIDELITY

import genexp as package
from genexp.callbacks.progress import RunProgress
from genexp.record import checkpoint


def history(path):
    with open(path) as file:
        return [(int(r["images"]), r["metric"], float(r["value"])) for r in csv.DictReader(file)]


@pytest.mark.parametrize("model", ["made", "gated_pixelcnn", "vae", "dcgan"])
def test_a_run_of_each_family(genexp, tiny, drawn_curves, model):
    code, out, err = genexp(*tiny(model, "name=a", *FIDELITY))
    assert code == 0, err
    status = genexp.json("outputs/a/status.json")
    assert status["state"] == "done" and status["versions"]["torch"] and status["command"]
    records = {r["key"]: r for r in genexp.json("outputs/a/metrics.json")}
    assert np.isfinite([r["value"] for r in records.values()]).all()
    fid = records["test/fid_mnistcnn_60"]
    assert fid["protocol"]["extractor"] == "mnistcnn" and fid["protocol"]["levels"] == 17 and not fid["ema"]
    assert all(key in out for key in records)  # the table shows them all
    kinds = {r["kind"] for key, r in records.items() if "nll" in key}
    assert kinds == {"made": {"exact"}, "gated_pixelcnn": {"exact"}, "vae": {"bound"}, "dcgan": set()}[model]
    for key, record in records.items():
        if "bpd" in key:
            assert 0 < record["value"] < np.log2(17) * 1.3 and record["stderr"] > 0
    state = checkpoint.load("outputs/a/checkpoints/last.ckpt")
    assert state["images_seen"] >= 1500 and state["steps"] == 25  # 21 batches of 1,297 images, and 4 more
    images = [row[0] for row in history("outputs/a/metrics.csv")]
    assert images == sorted(images) and images[-1] == state["images_seen"]
    with Image.open("outputs/a/samples/final.png") as grid:
        assert grid.width > 4 * 65 and grid.height > 4 * 65
    assert (genexp.folder / "outputs/a/samples/final-reconstructions.png").exists() == (model == "vae")
    assert (genexp.folder / "outputs/a/curves.png").read_bytes().startswith(b"\x89PNG")
    loaded = package.load("outputs/a")
    torch.manual_seed(0)
    assert loaded.sample(3).shape == (3, 1, 8, 8) and not loaded.training


def test_a_run_is_determined_by_its_seed_and_not_by_what_watches_it(genexp, tiny, finished):
    finished("vae", "name=a", "metrics=bound")
    genexp(*tiny("vae", "name=b", "metrics=bound", "samples.every_images=100", "training.log_every_steps=1"))
    genexp(*tiny("vae", "name=c", "metrics=bound", "seed=1", "samples.every_images=null"))
    a, b, c = (checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt")["state_dict"] for name in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)
    values = [[r["value"] for r in genexp.json(f"outputs/{name}/metrics.json")] for name in "ab"]
    assert values[0] == values[1]
    drawn = [{path.stem for path in (genexp.folder / f"outputs/{name}/samples").iterdir()} for name in "bc"]
    assert "000001297" in drawn[0] and all(stem.startswith("final") for stem in drawn[1])


def test_max_steps_counts_generator_steps(genexp, tiny):
    code, _, err = genexp(*tiny("dcgan", "name=a", "training.max_steps=7", *FIDELITY))
    assert code == 0, err
    assert checkpoint.load("outputs/a/checkpoints/last.ckpt")["steps"] == 7


@pytest.mark.parametrize("steps", [7, 20])
def test_the_images_to_come_are_known_of_steps_of_several_batches(genexp, tiny, monkeypatch, steps):
    totals = []
    monkeypatch.setattr(RunProgress, "on_fit_start", lambda self, trainer, module: totals.append(self.total))
    several = ["model.discriminator_steps=3", "training.accumulate_batches=2", "training.max_images=null"]
    code, _, err = genexp(*tiny("gan", "name=a", f"training.max_steps={steps}", *several, *FIDELITY))
    assert code == 0, err
    with open("outputs/a/metrics.csv") as file:
        seen = int(list(csv.DictReader(file))[-1]["images"])
    assert totals == [pytest.approx(seen, rel=0.1)]


def test_conditional_training_and_sampling(genexp, finished):
    finished("gated_pixelcnn", "name=a", "model.conditional=true", "metrics=nll")
    code, _out, err = genexp("sample", "run=outputs/a", "n=20", "y=3", "output=drawn/x")
    assert code == 0, err
    assert np.load("drawn/x.npy").shape == (20, 1, 8, 8) and (np.load("drawn/x-labels.npy") == 3).all()
    code, _, err = genexp("sample", "run=outputs/a", "n=2", "y=12")
    assert code == 2 and "labels must be in [0, 9]" in err
    code, _, err = genexp("sample", "run=outputs/a", "n=2", "+knobs.temprature=2")
    assert code == 2 and "temprature" in err


def test_a_diverging_run_fails_with_a_status(genexp, tiny):
    code, _, err = genexp(*tiny("vae", "name=a", "model.optimizer.lr=1e30"))
    assert code == 3 and "diverged" in err
    status = genexp.json("outputs/a/status.json")
    assert status["state"] == "failed" and "train/loss is" in status["error"]


def test_a_folder_with_a_run_is_not_overwritten(genexp, tiny, finished):
    finished("made", "name=a", "metrics=nll")
    before = (genexp.folder / "outputs/a/.hydra/config.yaml").read_text()
    code, _, err = genexp(*tiny("made", "name=a", "metrics=nll", "seed=5"))
    assert code == 2 and "already holds a run (done)" in err
    assert (genexp.folder / "outputs/a/.hydra/config.yaml").read_text() == before


def test_evaluate_adds_to_the_record(genexp, finished):
    finished("vae", "name=a", "metrics=bound", "metrics.bound.ks=[1]")
    code, _, err = genexp("evaluate", "run=outputs/a", "metrics=bound", "metrics.bound.ks=[1,8]", "seed=0")
    assert code == 0, err
    keys = [r["key"] for r in genexp.json("outputs/a/metrics.json")]
    assert sorted(keys) == sorted(f"test/nll_bound_{u}_k{k}" for u in ("nats", "bpd") for k in (1, 8))
    code, _, err = genexp("evaluate", "run=outputs/a", "metrics=nll")
    assert code == 2 and "ExactLikelihood" in err and "bound" in err
    code, _, err = genexp("evaluate", "run=outputs", "metrics=nll")
    assert code == 2 and "outputs/a" in err


def test_a_damaged_checkpoint_is_refused(genexp, finished):
    finished("made", "name=a", "metrics=nll")
    path = genexp.folder / "outputs/a/checkpoints/best.ckpt"
    path.write_bytes(path.read_bytes()[:-500])
    code, _, err = genexp("evaluate", "run=outputs/a", "metrics=nll")
    assert code == 2 and "best.ckpt" in err and "truncated" in err


def test_a_foreign_config_may_not_name_anything(genexp, finished):
    finished("made", "name=a", "metrics=nll")
    path = genexp.folder / "outputs/a/.hydra/config.yaml"
    text = path.read_text()
    assert "allow_targets: []" in text and "torch.nn.ReLU" in text
    path.write_text(text.replace("torch.nn.ReLU", "os.getcwd").replace("allow_targets: []", "allow_targets: [os]"))
    code, _, err = genexp("evaluate", "run=outputs/a", "metrics=nll")
    assert code == 2 and "os.getcwd" in err  # what the folder itself allows does not count


def test_a_published_number_gets_its_verdict(genexp, tiny):
    names = ("paper", "table", "unit", "spread", "spread_kind", "selection", "evidence")
    block = dict.fromkeys(names, "P") | {"metric": "test/nll_nats", "value": 0.0, "tolerance": 0.5, "verified": True}
    text = ",".join(f"{k}: {json.dumps(v)}" for k, v in block.items())
    code, out, err = genexp(*tiny("made", "name=a", "metrics=nll", f"published={{{text}}}"))
    assert code == 0, err
    assert "FAIL" in out and genexp.json("outputs/a/status.json")["verdict"] == "FAIL"
    text = text.replace("tolerance", "tolerence")
    code, _, err = genexp(*tiny("made", "name=b", "metrics=nll", f"published={{{text}}}"))
    assert code == 2 and "published lacks tolerance" in err


def test_the_last_epoch_is_validated_and_saved_whatever_the_rhythm(genexp, tiny):
    arguments = ["name=a", "metrics=nll", "training.max_images=null", "training.max_epochs=3"]
    code, _, err = genexp(*tiny("made", *arguments, "training.validate_every_epochs=2"))
    assert code == 0, err
    assert checkpoint.load("outputs/a/checkpoints/last.ckpt")["steps"] == 3 * 21


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_status_and_keeps_what_was_saved(tmp_path, tiny, sent, code):
    command = [sys.executable, "-m", "genexp", *tiny("made", "name=a", "training.max_images=100_000_000")]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        for _ in range(600):
            if (tmp_path / "outputs/a/checkpoints/last.ckpt").exists():
                break
            time.sleep(0.1)
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert json.loads((tmp_path / "outputs/a/status.json").read_text())["state"] == "interrupted"
    assert checkpoint.load(tmp_path / "outputs/a/checkpoints/last.ckpt")["steps"] > 0


def test_no_metric_is_a_choice_too(genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=a", "metrics=[]", "training.max_images=100", "samples.n=4"))
    assert code == 0 and genexp.json("outputs/a/metrics.json") == [], err
