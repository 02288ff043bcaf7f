"""Weights & Biases without a key and without a network: real offline runs, read back by W&B's own reader."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_overrides import FIDELITY


def read_back(folder):
    """The records of an offline run, by type."""
    wandb = shutil.which("wandb", path=str(Path(sys.executable).parent))
    command = [wandb, "leet", "inspect", "--json", str(folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc


def test_a_sweep_becomes_one_run_a_job_with_all_that_was_logged(genexp, tiny):
    command = tiny("vae", "-m", "seed=0,1", "name=s", "logger=wandb", "tags=[a,b]", "metrics=bound")
    code, out, err = genexp(*command)
    assert code == 0, err
    assert out.count("there is no API key") == 2 and "wandb sync outputs/s/seed_0/wandb" in out
    folders = sorted((genexp.folder / "outputs/s").glob("*/wandb/offline-run-*"))
    assert len(folders) == 2
    ids = set()
    for seed, folder in enumerate(folders):
        records = read_back(folder)
        run = next(r["run"] for r in records if r["type"] == "run")
        assert run["run_group"] == "s" and run["job_type"] == "train" and run["tags"] == ["a", "b"]
        assert run["display_name"] == f"seed_{seed}"
        ids.add(run["run_id"])
        text = json.dumps(records)
        for expected in ("train/loss", "val/elbo", "media/images/samples", "media/images/reconstructions"):
            assert expected in text
        config = next(r for r in records if r["type"] == "config")["config"]["update"]
        assert config["seed"] == seed and config["model"]["latent_dim"] == 4
        summary = {k: v for r in records if r["type"] == "summary" for k, v in r["summary"]["update"].items()}
        values = {r["key"]: r["value"] for r in genexp.json(f"outputs/s/seed_{seed}/metrics.json")}
        assert values and all(summary[key] == pytest.approx(value) for key, value in values.items())
    assert len(ids) == 2


def test_disabled_writes_nothing_and_offline_does_not_ask(genexp, tiny):
    code, out, err = genexp(*tiny("dcgan", "name=a", "logger=wandb", "logger.wandb.mode=disabled", *FIDELITY))
    assert code == 0 and "API key" not in out and not (genexp.folder / "outputs/a/wandb").exists(), err
    code, out, err = genexp(*tiny("dcgan", "name=b", "logger=wandb", "logger.wandb.mode=offline", *FIDELITY))
    assert code == 0 and "API key" not in out and list((genexp.folder / "outputs/b/wandb").glob("offline-run-*")), err


def test_a_key_without_a_network_falls_back_in_seconds(genexp, tiny, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    code, out, err = genexp(*tiny("made", "name=a", "logger=wandb", "metrics=nll"))
    assert code == 0 and "127.0.0.1 cannot be reached" in out, err
    assert list((genexp.folder / "outputs/a/wandb").glob("offline-run-*"))
