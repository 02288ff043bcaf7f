"""Weights & Biases without a key and without a network: real offline runs, read back by W&B's own reader."""

import csv
import json
import math
import shutil

import pytest
import wandb
from tiny_overrides import FIDELITY

from genexp.tracking.wandb_files import fill, parts, read


def settle():
    """End W&B's own process, which writes to its file after a run has ended, as the end of ours would."""
    wandb.teardown()


@pytest.fixture(scope="module")
def offline(finished_runs):
    """Puts a finished run that was logged offline under ``outputs/a``."""
    options = ["name=a", "logger=wandb", "logger.wandb.mode=offline", "metrics=nll"]

    def put(genexp, tiny):
        finished_runs.put(genexp, *tiny("made", *options), ready=lambda folder: settle())

    return put


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no .netrc


def test_a_sweep_becomes_one_run_a_job_with_all_that_was_logged(genexp, tiny, drawn_curves):
    """Of jobs in this process, where the run of one could go on in the next."""
    command = tiny("vae", "-m", "seed=0,1", "name=s", "logger=wandb", "tags=[a,b]", "metrics=bound")
    code, out, err = genexp(*command, "hydra/launcher=basic", "hydra.sweeper.probe=false")
    settle()
    assert code == 0, err
    assert out.count("there is no API key") == 2 and "wandb sync outputs/s/*/wandb/offline-run-*" in out
    folders = sorted((genexp.folder / "outputs/s").glob("*seed*"))
    assert len(folders) == 2
    ids = set()
    for seed, folder in enumerate(folders):
        (path,) = parts(folder)
        records, complaint = read(path)
        assert complaint == ""
        run = next(r["run"] for r in records if r["type"] == "run")
        assert run["run_group"] == "s" and run["job_type"] == "train" and run["tags"] == ["a", "b"]
        assert run["display_name"] == folder.name
        ids.add(run["run_id"])
        text = json.dumps(records)
        for expected in (
            "train/loss",
            "val/elbo",
            "media/images/samples",
            "media/images/reconstructions",
            "media/images/curves",
        ):
            assert expected in text
        config = next(r for r in records if r["type"] == "config")["config"]["update"]
        assert config["seed"] == seed and config["model"]["latent_dim"] == 4
        assert config["run"]["versions"]["torch"] and config["run"]["machine"] and "commit" in config["run"]["git"]
        summary = {k: v for r in records if r["type"] == "summary" for k, v in r["summary"]["update"].items()}
        values = {r["key"]: r["value"] for r in genexp.json(folder / "metrics.json")}
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


def exported_rows(path, names):
    """``(images, name, value)`` of an exported history, without what only tables and pictures have."""
    with open(path) as file:
        return [
            (int(row["images"]), name, f"{float(row[name]):.7g}")
            for row in csv.DictReader(file)
            for name in names
            if row[name]
        ]


def test_the_export_of_a_resumed_and_evaluated_offline_run_equals_its_own_history(genexp, tiny):
    command = tiny(
        "vae", "name=a", "logger=wandb", "logger.wandb.mode=offline", "metrics=bound", "metrics.bound.ks=[1]"
    )
    for arguments in (
        command,
        [*command, "training.max_images=3000", "resume=true"],
        ["evaluate", "run=outputs/a", "metrics=bound", "metrics.bound.ks=[3]"],
    ):
        code, out, err = genexp(*arguments)
        assert code == 0 and "wandb sync outputs/a/wandb/offline-run-*" in out, err
        settle()
    code, out, err = genexp("wandb", "export", "outputs/a", "--output", "exported")
    assert code == 0, err
    with open("outputs/a/metrics.csv") as file:
        rows = [(int(r["images"]), r["metric"], f"{float(r['value']):.7g}") for r in csv.DictReader(file)]
    assert len(rows) > 20
    assert sorted(exported_rows("exported/a/history.csv", {name for _, name, _ in rows})) == sorted(rows)
    with open("exported/a/history.csv") as file:
        steps = [int(row["_step"]) for row in csv.DictReader(file)]
    assert steps == list(range(len(steps)))  # the evaluation goes on where training stopped
    summary, config = genexp.json("exported/a/summary.json"), genexp.json("exported/a/config.json")
    values = {r["key"]: r["value"] for r in genexp.json("outputs/a/metrics.json")}
    assert "test/nll_bound_nats_k3" in values
    assert all(summary[key] == pytest.approx(value) for key, value in values.items())
    assert summary["images"] == rows[-1][0] and summary["val/elbo_max"] == pytest.approx(-summary["val/loss_min"])
    assert summary["val/loss_min"] <= summary["val/loss"] <= summary["val/loss_max"] and summary["epoch"] == 2
    assert config["run_id"] == genexp.json("outputs/a/status.json")["wandb"]["id"]
    assert config["config"]["model"]["latent_dim"] == 4 and config["config"]["protocol"]["data"] == "digits"


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_an_export_says_when_a_file_ends_too_early_and_fills_what_it_lost(genexp, tiny, offline, kept):
    offline(genexp, tiny)
    (path,) = parts(genexp.folder / "outputs/a")
    assert read(path)[0][-1]["type"] == "exit"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)] or b"garbage" * 100)
    code, out, err = genexp("wandb", "export", "outputs/a", "--output", "exported")
    text = " ".join(out.split())
    assert code == 0 and ("incomplete" if kept else "cannot be read") in text and "of them from metrics.csv" in text, (
        err
    )
    with open("outputs/a/metrics.csv") as file:
        rows = [(int(r["images"]), r["metric"], f"{float(r['value']):.7g}") for r in csv.DictReader(file)]
    assert sorted(exported_rows("exported/a/history.csv", {name for _, name, _ in rows})) == sorted(rows)
    values = {r["key"]: r["value"] for r in genexp.json("outputs/a/metrics.json")}
    summary = genexp.json("exported/a/summary.json")
    assert values and all(summary[key] == pytest.approx(value) for key, value in values.items())
    about = genexp.json("exported/a/config.json")
    assert about["config"]["seed"] == 0 and about["run_id"] == genexp.json("outputs/a/status.json")["wandb"]["id"]


def test_an_export_that_is_not_possible_is_one_line(genexp, tiny, offline, finished):
    offline(genexp, tiny)
    (genexp.folder / "file").touch()
    for output in ("file", "file/x"):
        code, _, err = genexp("wandb", "export", "outputs/a", "--output", output)
        assert code == 2 and f"--output {output}" in err and err.count("\n") == 1
    shutil.rmtree("outputs/a")
    finished("made", "name=a", "metrics=nll")
    code, _, err = genexp("wandb", "export", "outputs/a")
    assert code == 2 and "no run in it has W&B files" in err


def test_a_history_is_filled_in_its_order():
    def row(images, metric, value):
        return {"images": str(images), "metric": metric, "value": str(value)}

    recorded = [
        row(10, "train/loss", 3.0),
        row(20, "train/loss", 2.0),
        row(20, "val/loss", 2.5),
        row(30, "train/loss", 1.0),
    ]
    history = [{"images": 10, "train/loss": 3.0}, {"samples": "x"}, {"images": 20, "val/loss": 2.5}]
    found, rows = fill(history, recorded)
    added = [{"images": 20, "train/loss": 2.0}, {"images": 30, "train/loss": 1.0}]
    assert found == 2 and rows == [*history, *added]
    assert fill([], recorded)[0] == 4 and fill(rows, recorded) == (0, rows)


def test_likelihoods_of_single_labels_are_kept_and_tabled(genexp, tiny, offline):
    offline(genexp, tiny)
    record = next(r for r in genexp.json("outputs/a/metrics.json") if r["key"] == "test/nll_nats")
    classes = record["by_class"]
    assert list(classes) == [str(label) for label in range(10)] and sum(c["n"] for c in classes.values()) == record["n"]
    assert sum(c["value"] * c["n"] for c in classes.values()) == pytest.approx(record["value"] * record["n"])
    tables = {p.name.rsplit("_", 2)[0]: p for p in genexp.folder.glob("outputs/a/wandb/*/files/media/table/*.json")}
    table = json.loads(tables["likelihood_by_class"].read_text())
    assert ["test/nll_nats", "3", classes["3"]["value"], classes["3"]["stderr"], classes["3"]["n"]] in table["data"]
    table = json.loads(tables["final_metrics"].read_text())
    assert dict(zip(table["columns"], table["data"][0], strict=True))["direction"] == "min"


def test_histograms_of_gradients_are_logged_on_request(genexp, tiny):
    code, _, err = genexp(
        *tiny(
            "made", "name=a", "logger=wandb", "logger.wandb.mode=offline", "logger.wandb.watch=gradients", "metrics=nll"
        )
    )
    assert code == 0, err
    assert "gradients/" in json.dumps(read(parts(genexp.folder / "outputs/a")[0])[0])


@pytest.mark.parametrize(
    "override",
    [
        "+logger.wandb.api_key=abc",
        "+model.optimizer.password=12",
        "+hub_token=abc",
        "tags=[x-KEYKEYKEY]",
        "tags=['sqlite://me:abc@x/y']",
    ],
)
def test_a_config_with_a_secret_is_refused(genexp, tiny, monkeypatch, override):
    monkeypatch.setenv("WANDB_API_KEY", "KEYKEYKEY")
    code, out, err = genexp(*tiny("made", "name=a", "logger=wandb", "logger.wandb.mode=offline", override))
    key = override.split("=")[0].lstrip("+")
    assert code == 2 and key in err and "WANDB_API_KEY" in err and "abc" not in err and "KEYKEYKEY" not in out + err
    assert not (genexp.folder / "outputs").exists() or not any((genexp.folder / "outputs").rglob("*.yaml"))


def test_bounds_are_tabled_by_k(genexp, tiny):
    bound = ["metrics=bound", "metrics.bound.ks=[20,3]"]
    code, _, err = genexp(*tiny("vae", "name=a", "logger=wandb", "logger.wandb.mode=offline", *bound))
    assert code == 0, err
    (path,) = genexp.folder.glob("outputs/a/wandb/offline-run-*/files/media/table/bounds_*.json")
    table = json.loads(path.read_text())
    assert table["columns"] == ["split", "k", "log k", "nats", "stderr"]
    values = {r["key"]: r for r in genexp.json("outputs/a/metrics.json")}
    for row, k in zip(table["data"], (3, 20), strict=True):
        record = values[f"test/nll_bound_nats_k{k}"]
        assert row == ["test", k, pytest.approx(math.log(k)), record["value"], record["stderr"]]
