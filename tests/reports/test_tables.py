"""The verdict on a published number, and what takes it away."""

import pytest
from rich.console import Console

from genexp.reports.tables import changed_settings, metrics_table, protocol_notes, verdict

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


def a_value(quantity, key=None, **protocol):
    about = {
        "key": key or f"test/{quantity}",
        "quantity": quantity,
        "kind": "exact",
        "direction": "min",
        "unit": "nats",
    }
    return about | {"value": 79.634, "stderr": 0.42, "n": 500, "protocol": {"data": "digits", **protocol}}


def test_each_entry_of_the_protocols_stands_once_below_the_values():
    records = [
        a_value("nll", split="test"),
        a_value("fid", split="train", extractor="cnn"),
        a_value("is", split="train", extractor="cnn", is_splits=10, seed=None),
    ]
    assert protocol_notes(records) == [
        "all: data digits",
        "fid, is: split train, extractor cnn",
        "nll: split test",
        "is: is_splits 10",
    ]


def test_values_of_one_quantity_under_two_protocols_are_told_apart():
    records = [a_value("fid", "test/fid_1k", n=1000), a_value("fid", "test/fid_2k", n=2000)]
    assert protocol_notes(records) == ["all: data digits", "test/fid_1k: n 1000", "test/fid_2k: n 2000"]


def test_the_table_of_a_run_fits_100_columns(capsys):
    long = {f"entry_{i}": "a long value" for i in range(20)}
    Console(width=100).print(metrics_table([a_value("nll", "test/nll_bound_nats_k5000", **long)], "outputs/x"))
    out = capsys.readouterr().out
    assert "79.63 ± 0.42" in out and max(map(len, out.splitlines())) <= 100
    assert out.index("79.63") < out.index("entry_0")
