"""Weights & Biases online: real runs against the stand-in server."""

import csv
import json
import os
import subprocess
import sys
import time

import pytest
import wandb
from wandb_stand_in import WandbStandIn

from genexp.record.folder import RunFolder
from genexp.reports.tables import figure
from genexp.tracking.wandb_server import obstacle

quiet_workspaces = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # as they are imported
KEY = 2 * "0123456789abcdef" + "01234567"  # in parts, lest a run of changed code finds it in its own patch


@pytest.fixture
def server(monkeypatch, tmp_path):
    wandb.teardown()  # W&B asks for the server's address once a process
    server = WandbStandIn()
    for name, value in {"BASE_URL": server.url, "API_KEY": KEY, "CACHE_DIR": "cache", "CONFIG_DIR": "config"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value if "://" in value or value == KEY else str(tmp_path / value))
    for name in ("WANDB_MODE", "WANDB_SERVICE", "WANDB_DATA_DIR"):  # the last two may be left by other tests
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield server
    wandb.teardown()
    server.stop()


@pytest.fixture
def run(genexp):
    """``genexp ...`` to its good end; its standard output."""

    def call(*arguments):
        code, out, err = genexp(*arguments)
        assert code == 0, err
        return out

    return call


def test_a_run_and_its_evaluation_arrive_as_one_run(server, run, drawn_curves, tmp_path, tiny):
    options = ["name=a", "tags=[x,y]", "logger=wandb", "logger.wandb.group=g", "metrics=bound", "metrics.bound.ks=[1]"]
    run(*tiny("vae", *options, "logger.wandb.log_model=all"))
    received = server.only_run()
    assert received["groupName"] == "g" and received["tags"] == ["x", "y"] and received["jobType"] == "train"
    assert received["displayName"] == "a" and received["exit_code"] == 0
    assert received["config"]["model"]["value"]["latent_dim"] == 4
    assert received["config"]["run"]["value"]["versions"]["torch"]
    assert received["config"]["choices"]["value"]["model"] == "vae" and received["config"]["parameters"]["value"] > 1000
    check_artifacts(server, received["name"])
    summary = received["summary"]
    assert summary["val/loss_min"] <= summary["val/loss"] <= summary["val/loss_max"] and summary["epoch"] == 1
    assert summary["train/lr"] == 0.001
    with open("outputs/a/metrics.csv") as file:
        rows = [(int(r["images"]), r["metric"], float(r["value"])) for r in csv.DictReader(file)]
    history = [h for _, h in sorted(received["history"].items())]
    logged = [(h["images"], name, value) for h in history for name, value in h.items() if name[:4] in ("trai", "val/")]
    logged = [row for row in logged if row[1] != "trainer/global_step"]
    assert sorted((i, n) for i, n, _ in logged) == sorted((i, n) for i, n, _ in rows)
    assert sorted(v for _, _, v in logged) == pytest.approx(sorted(v for _, _, v in rows))
    for kind in ("samples", "reconstructions", "curves"):
        shown = [h for h in history if kind in h]
        assert shown and all(h[kind]["captions"] == [f"{h['images']:,} images"] for h in shown)
        names = {f"{received['name']}/{name}" for h in shown for name in h[kind]["filenames"]}
        assert names <= set(server.files) and all(server.files[name].startswith(b"\x89PNG") for name in names)
    before = len(history)
    run("evaluate", "run=outputs/a", "metrics=bound", "metrics.bound.ks=[3]")
    received = server.only_run()
    values = {r["key"]: r["value"] for r in json.loads((tmp_path / "outputs/a/metrics.json").read_text())}
    assert "test/nll_bound_nats_k3" in values
    assert all(received["summary"][key] == pytest.approx(value) for key, value in values.items())
    steps = [h["_step"] for _, h in sorted(received["history"].items())]
    assert len(steps) > before and steps == list(range(len(steps)))
    assert (
        received["groupName"] == "g"
        and received["name"] == json.loads((tmp_path / "outputs/a/status.json").read_text())["wandb"]["id"]
    )
    run("evaluate", "run=outputs/a", "metrics=bound", "metrics.bound.ks=[5]", "wandb=false")
    assert "test/nll_bound_nats_k5" not in server.only_run()["summary"]
    assert server.unknown == []
    assert server.keys == {KEY}
    assert not any(KEY.encode() in body for body in server.bodies)
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("outputs/**/*") if path.is_file())


def check_artifacts(server, run_id):
    """Those of a run of two validations: the checkpoint of each, the best one at the end, the record."""
    artifacts = [a for a in server.artifacts if a["artifactTypeName"] != "run_table"]
    kinds = sorted(a["artifactTypeName"] for a in artifacts)
    assert kinds == ["model", "model", "model", "run"]
    by_alias = {entry["alias"]: a for a in artifacts for entry in a["aliases"] if a["artifactTypeName"] == "model"}
    assert {"images-1297", "images-1553", "last", "best", "latest"} == set(by_alias)
    best = by_alias["best"]
    assert best["aliases"][0]["artifactCollectionName"] == f"model-a-{run_id}" and best["metadata"]["images"] == 1553
    assert best["metadata"]["metrics"]["test/nll_bound_nats_k1"] > 0
    with open("outputs/a/checkpoints/best.ckpt", "rb") as file:
        assert server.files[best["files"]["best.ckpt"]] == file.read()
    (record,) = (a for a in artifacts if a["artifactTypeName"] == "run")
    assert record["metadata"] == {"state": "done"} and {"metrics.csv", ".hydra/config.yaml"} <= set(record["files"])


def test_a_run_that_diverges_is_told_of_once(server, genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=a", "logger=wandb", "metrics=nll", "model.optimizer.lr=1e30"))
    assert code == 3, err
    (alert,) = server.alerts
    assert alert["title"] == "TrainingDiverged: a" and alert["severity"] == "ERROR" and "outputs/a" in alert["text"]
    assert server.only_run()["exit_code"] == 1 and server.unknown == []


def test_a_continued_run_continues_its_record(server, run, tiny):
    run(*tiny("made", "name=a", "logger=wandb", "metrics=nll"))
    run("train", "run=outputs/a", "training.max_images=3000")
    received = server.only_run()
    with open("outputs/a/metrics.csv") as file:
        rows = [(int(r["images"]), float(r["value"])) for r in csv.DictReader(file) if r["metric"] == "val/loss"]
    history = [h for _, h in sorted(received["history"].items())]
    logged = [(h["images"], h["val/loss"]) for h in history if "val/loss" in h]
    assert [i for i, _ in logged] == [i for i, _ in rows] and len(rows) == 4
    assert [v for _, v in logged] == pytest.approx([v for _, v in rows])
    assert received["config"]["training"]["value"]["max_images"] == 3000


def test_a_sweep_that_ran_offline_is_uploaded_as_a_group_by_one_command(server, run, monkeypatch, tiny):
    sweep = ["-m", "hydra/launcher=basic", "hydra.sweeper.probe=false", "seed=0,1", "name=s"]
    out = run(*tiny("made", *sweep, "logger=wandb", "logger.wandb.mode=offline", "metrics=nll"))
    command = next(line for line in out.splitlines() if "wandb sync" in line).split("server: ")[1]
    assert server.runs == {}
    environment = os.environ | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    for job in sorted(os.listdir("outputs/s"))[:1]:
        run("evaluate", f"run=outputs/s/{job}", "metrics=nll", "split=validation")
    monkeypatch.setenv("WANDB_MODE", "online")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(server.runs) == 2 and {r["groupName"] for r in server.runs.values()} == {"s"}
    assert {r["config"]["seed"]["value"] for r in server.runs.values()} == {0, 1}
    summaries = [
        json.loads(body) for name, body in sorted(server.files.items()) if name.endswith("/wandb-summary.json")
    ]
    assert len(summaries) == 2 and all("test/nll_nats" in summary for summary in summaries)
    assert sum("validation/nll_nats" in summary for summary in summaries) == 1
    for received in server.runs.values():
        steps = [h["_step"] for _, h in sorted(received["history"].items())]
        assert steps == list(range(len(steps)))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dies", "hangs"])
def test_a_server_that_fails_costs_seconds_and_neither_the_run_nor_its_data(server, tmp_path, tiny, way):
    options = ["name=a", "metrics=nll", "logger=wandb", "training.max_images=6000", "samples.every_images=3000"]
    command = [sys.executable, "-m", "genexp", *tiny("made", *options, "logger.wandb.settings.finish_timeout=3")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status = tmp_path / "outputs/a/status.json"
    try:
        while not server.runs and process.poll() is None:
            time.sleep(0.01)
        if way == "dies":
            server.stop()
        else:
            server.lock.acquire()
        while process.poll() is None and not (status.exists() and json.loads(status.read_text())["state"] == "done"):
            time.sleep(0.05)
        done = time.monotonic()
        out, err = process.communicate(timeout=300)
        assert time.monotonic() - done < 70  # on a busy machine; else 6 to 10 s, of which 3 are the timeout
    finally:
        process.kill()
        if way == "hangs":
            server.lock.release()
    assert process.returncode == 0 and "W&B: 127.0.0.1 cannot be reached" in out, err
    assert json.loads(status.read_text())["state"] == "done"
    command = out.split("Later: ")[1].splitlines()[0]
    other = WandbStandIn()
    environment = os.environ | {"PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        shell=True,
        capture_output=True,
        text=True,
        env=environment | {"WANDB_BASE_URL": other.url},
        timeout=120,
    )
    other.stop()
    assert done.returncode == 0, done.stderr
    with open("outputs/a/metrics.csv") as file:
        rows = sorted((int(r["images"]), float(r["value"])) for r in csv.DictReader(file) if r["metric"] == "val/loss")
    received = other.only_run()
    assert (
        sorted((h["images"], pytest.approx(h["val/loss"])) for h in received["history"].values() if "val/loss" in h)
        == rows
    )
    values = {r["key"]: r["value"] for r in json.loads((tmp_path / "outputs/a/metrics.json").read_text())}
    summaries = {name: json.loads(body) for name, body in other.files.items() if name.endswith("/wandb-summary.json")}
    assert all(any(s.get(key) == pytest.approx(v) for s in summaries.values()) for key, v in values.items())
    assert any("final_metrics" in name for name in other.files)


@quiet_workspaces
def test_a_workspace_is_saved_to_the_server(server, run, finished):
    pytest.importorskip("wandb_workspaces")
    finished("made", "name=a", "metrics=nll")
    run("wandb", "workspace", "outputs/a", "--entity", "me", "--json", "view.json")
    assert server.views == []
    run("wandb", "workspace", "outputs/a", "--entity", "me")
    (view,) = server.views
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    panels = {s["name"]: [p["config"] for p in s["panels"]] for s in sections}
    assert panels["Likelihood"][0]["chartTitle"] == "test/nll_nats (exact), nats ↓"
    assert [p["mediaKeys"] for p in panels["Samples"]] == [["samples"], ["reconstructions"], ["curves"]]
    assert {p["metrics"][0] for p in panels["Cost"]} == {"cost/minutes", "cost/images_per_second"}
    with open("view.json") as file:
        assert [s["name"] for s in json.load(file)["spec"]["section"]["panelBankConfig"]["sections"]] == list(panels)


@quiet_workspaces
def test_a_report_compares_the_runs_that_were_logged(server, genexp, run, finished):
    pytest.importorskip("wandb_workspaces")
    finished("made", "name=a", "metrics=nll")
    code, _, err = genexp("wandb", "report", "outputs", "--entity", "me")
    assert code == 2 and "none of the runs in outputs has metrics and was logged with W&B" in err
    folder = RunFolder("outputs/a")
    folder.set_status("done", wandb={"id": "x1", "url": "http://x/1"})
    run("wandb", "report", "outputs", "--entity", "me", "--title", "Mine", "--draft")
    (view,) = server.views
    assert view["displayName"] == "Mine" and view["type"] == "runs/draft" and server.unknown == []
    blocks = view["spec"]["blocks"]
    (table,) = (b["content"] for b in blocks if b["type"] == "markdown-block")
    values = {r["key"]: r for r in folder.metrics()}
    nll = values["test/nll_nats"]
    assert f"| [a](http://x/1) | made | digits | 0 | {figure(nll['value'], nll['stderr'])} |" in table
    grids = [b["metadata"] for b in blocks if b["type"] == "panel-grid"]
    assert all('"x1"' in json.dumps(grid["runSets"][0]["filters"]) for grid in grids)
    assert json.dumps(grids).count("choices.value.model") > len(grids)
    keys = [p["config"].get("mediaKeys") for grid in grids for p in grid["panelBankSectionConfig"]["panels"]]
    assert ["samples"] in keys


@quiet_workspaces
def test_the_workspace_of_vaes_has_the_rate_distortion_plane_and_bounds_against_log_k(server, run, tiny):
    pytest.importorskip("wandb_workspaces")
    run(*tiny("vae", "name=a", "metrics=[bound,latents]", "metrics.bound.ks=[1,3]"))
    run("wandb", "workspace", "outputs/a", "--entity", "me")
    (view,) = server.views
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    plane, bounds = next(s["panels"] for s in sections if s["name"] == "Bounds")
    assert plane["config"]["xAxis"] == "summary:test/rate_nats"
    assert plane["config"]["yAxis"] == "summary:test/distortion_nats"
    assert '"bounds"' in json.dumps(bounds) and bounds["config"]["fieldSettings"]["x"] == "log k"


def test_a_key_that_the_server_refuses_is_found_out_before_training(server, monkeypatch):
    assert obstacle() is None
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    server.accepted = {KEY}
    assert obstacle() == "127.0.0.1 does not accept the API key"
    monkeypatch.delenv("WANDB_API_KEY")
    assert "no API key" in obstacle()
