"""A W&B sweep: the real `wandb sweep` and `wandb agent` against the stand-in server, with genexp as their program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_overrides import NETS, TINY
from wandb_stand_in import WandbStandIn

from genexp.command_line import logger_of_agent
from genexp.record.errors import ConfigError
from genexp.tracking.wandb_identity import AGENT, identity
from genexp.tracking.wandb_sweep import families, sweep_for

KEY = 2 * "0123456789abcdef" + "01234567"
SETTINGS = {"project": "genexp", "entity": None}


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    """Not within an agent; and what a run forgets is there again after the test."""
    for name in (*AGENT, "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_folder_stays_the_run_that_it_is(monkeypatch):
    new = identity(SETTINGS, {})
    assert len(new["id"]) == 8 and new["sweep"] is None and identity(SETTINGS, {})["id"] != new["id"]
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_PROJECT", "p")
    monkeypatch.setenv("WANDB_ENTITY", "e")
    given = identity({"project": "p", "entity": None}, {})
    assert given == {"id": "mine", "project": "p", "entity": "e", "sweep": "s"}
    with pytest.raises(ConfigError, match=r"logger.wandb.project=other: the agent's sweep belongs to project p"):
        identity({"project": "other", "entity": None}, {})
    assert identity(SETTINGS, given) == given and os.environ["WANDB_RUN_ID"] == "mine"
    assert identity(SETTINGS, given | {"id": "old"})["id"] == "old"
    assert not any(name in os.environ for name in AGENT)  # W&B would prefer the agent's


def test_the_run_of_an_agent_is_logged_though_the_command_chooses_no_logger(monkeypatch):
    assert logger_of_agent(["seed=1"]) == []
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    monkeypatch.setenv("WANDB_RUN_ID", "r")
    assert logger_of_agent(["seed=1", "model=vae"]) == ["logger=wandb"]
    for word in ("logger=none", "logger=[wandb,csv]", "+logger.mine._target_=x", "~logger", "-m"):
        assert logger_of_agent(["seed=1", word]) == []


@pytest.mark.parametrize("family", families())
def test_every_sweep_composes(family, compose_train):
    sweep = yaml.safe_load(sweep_for(family, ["data=digits"]))
    command = sweep["command"]
    assert command[:2] == ["genexp", "train"] and command[-2:] == ["data=digits", "${args_no_hyphens}"]
    points = [f"{name}={space.get('values', [space.get('min')])[0]}" for name, space in sweep["parameters"].items()]
    config = compose_train(*command[2:-1], *points)
    assert config.logger.wandb.project == sweep["project"] and sweep["metric"]["name"].startswith("val/")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["vea"], "Did you mean 'vae'?"),
        (["vae", "seed"], "seed: must be key=value"),
        (["vae", "model.latent_dim=3"], "the sweep varies model.latent_dim"),
        (["vae", "name=x"], "cannot share it"),
    ],
)
def test_a_wrong_sweep_is_refused(genexp, words, expected):
    code, _, err = genexp("wandb", "sweep", *words)
    assert code == 2 and expected in err and err.count("\n") == 1


@pytest.mark.slow
def test_agents_of_one_second_run_genexp_and_each_run_keeps_one_identity(genexp, tmp_path):
    fixed = [word for word in (*TINY, *NETS["vae"]) if not word.startswith("model.latent_dim")]
    code, text, _ = genexp(
        "wandb", "sweep", "vae", *fixed, "logger.wandb.code=true", "metrics=bound", "metrics.bound.ks=[1]"
    )
    assert code == 0
    (tmp_path / "sweep.yaml").write_text(text)
    server = WandbStandIn()
    server.points = [
        {"model.latent_dim": 3, "model.optimizer.lr": 0.002},
        {"model.latent_dim": 2, "training.batch_size": 32},
    ]
    bin = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin}:{os.environ['PATH']}",
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": KEY,
        "HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }

    def call(*words):
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    try:
        done = call("wandb", "sweep", "sweep.yaml")
        assert done.returncode == 0 and "wandb agent" in done.stderr, done.stderr
        agent = ["wandb", "agent", "--count", "1", "team/genexp/sweep1"]
        agents = [
            subprocess.Popen(agent, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) for _ in "ab"
        ]
        told = [agent.communicate(timeout=300)[1] for agent in agents]
        assert [agent.returncode for agent in agents] == [0, 0], told
        assert set(server.runs) == {"run0", "run1"} and not server.unknown, (told, server.unknown)
        folders = sorted(path.parent for path in tmp_path.glob("outputs/*/status.json"))
        assert len(folders) == 2
        for folder in folders:
            status = json.loads((folder / "status.json").read_text())
            assert status["state"] == "done" and status["wandb"]["sweep"] == "sweep1"
            received = server.runs[status["wandb"]["id"]]
            assert received["displayName"] == folder.name and received["exit_code"] == 0
            config = received["config"]
            resolved = yaml.safe_load((folder / ".hydra/resolved.yaml").read_text())
            assert config["model"]["value"]["latent_dim"] == resolved["model"]["latent_dim"]
            assert resolved["logger"]["wandb"]["project"] == "genexp" and received["sweep"] == "sweep1"
            assert "test/nll_bound_nats_k1" not in received["summary"]
            assert received["summary"]["validation/nll_bound_nats_k1"] > 0
        codes = [a["files"] for a in server.artifacts if a["artifactTypeName"] == "code"]
        assert len(codes) == 2 and all({"families/vae.py", "tracking/wandb_artifacts.py"} <= set(c) for c in codes)
        before = {name: len(run["history"]) for name, run in server.runs.items()}
        for words in (["train", "training.max_images=2500"], ["evaluate", "metrics=bound", "metrics.bound.ks=[1]"]):
            done = call("genexp", *words, f"run={folders[0]}")
            assert done.returncode == 0, done.stderr
        assert len([a for a in server.artifacts if a["artifactTypeName"] == "code"]) == 3  # none of the evaluation
        name = json.loads((folders[0] / "status.json").read_text())["wandb"]["id"]
        assert set(server.runs) == {"run0", "run1"} and "test/nll_bound_nats_k1" in server.runs[name]["summary"]
        assert len(server.runs[name]["history"]) > before[name]
    finally:
        server.stop()
