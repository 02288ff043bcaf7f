"""Models look at training data once, before the first step of a run."""

import pytest
import torch
from equal_runs import assert_equal, outcome

from genexp import load
from genexp.families.flow import Flow
from genexp.record import checkpoint

TOY = [
    "data=toy",
    "data.splits={train: 640, validation: 100, test: 100}",
    "trainer=cpu",
    "samples.n=4",
    "samples.every_images=null",
]
FLOW = [*TOY, "model.transform.hidden=[8]", "training.max_images=1500", "training.log_every_steps=5", "metrics=nll"]


def test_means_and_scales_come_from_all_training_data_once_and_a_resumed_run_keeps_them(genexp, interrupt, monkeypatch):
    calls = []
    original = Flow.initialise
    monkeypatch.setattr(Flow, "initialise", lambda self, x, y: (calls.append(len(x)), original(self, x, y)))
    code, _, err = genexp("train", "model=nsf", *FLOW, "name=whole")
    assert code == 0, err
    interrupt(13)
    assert genexp("train", "model=nsf", *FLOW, "name=parts")[0] == 143
    assert calls == [640, 640]
    assert genexp("train", "run=outputs/parts")[0] == 0
    assert calls == [640, 640]
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/whole"))
    state = checkpoint.load(genexp.folder / "outputs/whole/checkpoints/last.ckpt")["state_dict"]
    assert (state["standardise.sd"] - 2).abs().max() < 0.2  # of eight Gaussians on a circle
    drawn = {path.name for path in (genexp.folder / "outputs/whole/samples").glob("final*")}
    assert drawn == {"final.png", "final-density.png", "final-latents.png"}
    assert torch.equal(load("outputs/whole").standardise.mean, state["standardise.mean"])


def test_a_resumed_flow_of_images_keeps_the_scales_of_its_first_look_as_they_were_trained(genexp, interrupt):
    small = ["steps.depth=1", "steps.network.width=4"]
    glow = ["model=glow", "data=digits", "data.limit=128", *(f"model.density.transform.{setting}" for setting in small)]
    glow += ["trainer=cpu", "samples.n=4", "samples.every_images=null", "metrics=bound", "metrics.bound.ks=[1]"]
    glow += ["training.max_images=768", "training.log_every_steps=4", "model.density.initial_examples=100"]
    code, _, err = genexp("train", *glow, "name=whole")
    assert code == 0, err
    interrupt(5)
    assert genexp("train", *glow, "name=parts")[0] == 143
    first = "density.transform.scales.0.parts.1.parts.0.log_scale"
    begun = checkpoint.load(genexp.folder / "outputs/parts/checkpoints/last.ckpt")["state_dict"][first]
    assert begun.std() > 0
    assert genexp("train", "run=outputs/parts")[0] == 0
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/whole"))
    done = checkpoint.load(genexp.folder / "outputs/parts/checkpoints/last.ckpt")["state_dict"][first]
    assert 0 < (done - begun).abs().max() < 0.1


def test_a_density_in_closed_form_takes_one_pass_and_refuses_more(genexp):
    code, _, err = genexp("train", "model=gaussian", *TOY, "name=g", "metrics=[nll,density_gap]")
    assert code == 0, err
    values = {record["key"]: record["value"] for record in genexp.json("outputs/g/metrics.json")}
    assert values["test/nll_nats"] == pytest.approx(4.26, abs=0.1) and values["test/nll_gap_nats"] > 1
    assert genexp.json("outputs/g/status.json")["state"] == "done"
    for wrong in ("training.max_images=1000", "training.ema_decay=0.9", "training.max_epochs=2"):
        code, _, err = genexp("train", "model=gaussian", *TOY, "name=h", wrong)
        assert code == 2 and wrong in err and "training=closed_form" in err
    narrow = [*TOY, "data.splits={train: 2, validation: 100, test: 100}"]
    code, _, err = genexp("train", "model=gaussian", *narrow, "name=h")
    assert code == 2 and "ridge=0.0" in err, err
    assert not (genexp.folder / "outputs/h").exists()
