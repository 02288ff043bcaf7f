"""The verdict on a published number, and what takes it away."""

import pytest

from genexp.reports.tables import changed_settings, verdict

NUMBER = {"value": 90.0, "tolerance": 0.5, "verified": True}


def test_the_verdict_is_a_matter_of_the_tolerance():
    assert verdict(NUMBER, 90.5)[0] == "PASS" and verdict(NUMBER, 89.4)[0] == "FAIL"
    assert verdict(NUMBER | {"verified": False}, 90.0)[0] == "UNVERIFIED"


def test_other_settings_are_not_judged():
    word, line = verdict(NUMBER, 90.0, ["training.max_steps=400"])
    assert word == "CHANGED" and "training.max_steps=400" in line


@pytest.mark.parametrize(
    "override",
    [
        "training.max_steps=5",
        "model.latent_dim=3",
        "model/objective=hinge",
        "data=digits",
        "+model.x=1",
        "~model.penalties",
    ],
)
def test_what_changes_an_experiment(override):
    assert changed_settings(["experiment=x", "seed=1", override]) == [override]
    assert changed_settings([override]) == []  # no experiment, whose settings it could change


@pytest.mark.parametrize(
    "override",
    [
        "seed=3",
        "name=a",
        "trainer=cpu",
        "logger=wandb",
        "data.root=/x",
        "training.compile=true",
        "metrics=[bound,latents]",
    ],
)
def test_what_does_not(override):
    assert changed_settings(["experiment=x", override]) == []
