"""Loggers beside W&B: several at once, each with the same; continued where they stopped; refused in a line."""

import csv
import json
import subprocess
import sys

import pytest
import yaml

from genexp.tracking.adapters import Adapter, Csv, adapter_of, flat, plain_name

RECORDER = """
from pytorch_lightning.loggers import Logger

GIVEN = []


class Recorder(Logger):
    name, version = "recorder", "0"

    def __init__(self, label: str):
        super().__init__()
        GIVEN.append(("made", label))

    def log_hyperparams(self, params):
        GIVEN.append(("params", params))

    def log_metrics(self, metrics, step=None):
        GIVEN.append(("metrics", step, metrics))

    def log_image(self, key, images, step, caption):
        GIVEN.append(("image", key, step, caption))

    def finalize(self, status):
        GIVEN.append(("end", status))
"""


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture
def recorder(genexp):
    (genexp.folder / "recorder_of_test.py").write_text(RECORDER)
    sys.modules.pop("recorder_of_test", None)
    yield lambda: sys.modules["recorder_of_test"].GIVEN
    sys.modules.pop("recorder_of_test", None)


def test_several_loggers_get_the_same_history_and_go_on_in_the_same_place(genexp, tiny, recorder):
    own = [
        "+logger.mine._target_=recorder_of_test.Recorder",
        "+logger.mine.label=x",
        "allow_targets=[recorder_of_test]",
    ]
    code, _, err = genexp(*tiny("made", "name=a", "logger=[csv,none]", *own, "metrics=nll"))
    assert code == 0, err
    recorded = [(int(r["images"]), r["metric"], float(r["value"])) for r in rows_of("outputs/a/metrics.csv")]
    assert {name for _, name, _ in recorded} == {"train/loss", "train/lr", "val/loss"}
    rows = rows_of("outputs/a/csv/metrics.csv")
    values = {r["key"]: r["value"] for r in genexp.json("outputs/a/metrics.json")}
    names = sorted({name for _, name, _ in recorded})
    logged = sorted((int(r["step"]), name, float(r[name])) for r in rows for name in names if r[name])
    assert logged == [(i, n, pytest.approx(v, rel=1e-6)) for i, n, v in sorted(recorded)]
    assert [int(r["images"]) for r in rows if r["images"]] == [int(r["step"]) for r in rows if r["images"]]
    assert {r["epoch"] for r in rows} >= {"0", "1"} and float(rows[-1]["test/nll_nats"]) == values["test/nll_nats"]
    given = recorder()
    assert given[0] == ("made", "x") and given[-1] == ("end", "success")
    params = next(entry[1] for entry in given if entry[0] == "params")
    assert params["choices.model"] == "made" and params["choices.data"] == "digits" and params["seed"] == 0
    assert params["model.network.hidden"] == "[16]" and params["parameters"] > 1000 and "run.versions.torch" in params
    assert params["parameters"] == genexp.json("outputs/a/status.json")["parameters"]
    mine = [(step, n, v) for kind, step, metrics in (e for e in given if e[0] == "metrics") for n, v in metrics.items()]
    assert [(i, n) for i, n, _ in mine if n[:4] in ("trai", "val/")] == [(i, n) for i, n, _ in recorded]
    assert ("image", "samples", 1553, ["1,553 images"]) in given
    with open("outputs/a/csv/hparams.yaml") as file:
        assert yaml.safe_load(file)["choices.model"] == "made"

    code, _, err = genexp("train", "run=outputs/a", "training.max_images=2500")
    assert code == 2 and "logger.mine._target_=recorder_of_test.Recorder" in err and err.count("\n") == 1
    again = ["logger.mine._target_=recorder_of_test.Recorder", "allow_targets=[recorder_of_test]"]
    code, _, err = genexp("train", "run=outputs/a", "training.max_images=2500", *again)
    assert code == 0, err
    longer = rows_of("outputs/a/csv/metrics.csv")
    assert [r["step"] for r in longer][: len(rows)] == [r["step"] for r in rows]
    assert [r["step"] for r in longer if r["train/loss"]] == sorted(
        {r["images"] for r in rows_of("outputs/a/metrics.csv") if r["metric"] == "train/loss"}, key=int
    )


def test_a_failed_run_ends_its_loggers_as_failed(genexp, tiny, recorder):
    own = [
        "+logger.mine._target_=recorder_of_test.Recorder",
        "+logger.mine.label=x",
        "allow_targets=[recorder_of_test]",
    ]
    code, _, err = genexp(*tiny("made", "name=a", *own, "metrics=nll", "model.optimizer.lr=1e30"))
    assert code == 3 and "diverged" in err and recorder()[-1] == ("end", "failed")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["+logger.csv.save_dir=x"], "choose it too, logger=csv"),
        (["+logger.cvs.save_dir=x"], "Did you mean 'csv'?"),
        (["+logger.csv=3"], "logger.csv=3: must be a mapping"),
        (["logger=csv", "logger.csv.save_dir=3"], "logger.csv.save_dir=3: must be text, or null"),
        (["logger=csv", "+logger.csv.flush=3"], "logger.csv.flush=3: CSVLogger has no such argument"),
        (["logger=csv", "logger.csv.flush_logs_every_n_steps=x"], "whole number"),
        (["+logger.x._target_=torch.nn.Linear"], "logger.x._target_=torch.nn.Linear is not in a module"),
        (["+logger.x._target_=pytorch_lightning.loggers.CSVLoger"], "Did you mean 'CSVLogger'?"),
        (["logger=wandb", "logger.wandb._target_=pytorch_lightning.loggers.CSVLogger"], "must be a WandbLogger"),
        (["logger=wandb", "logger.wandb.log_model=bests"], "Did you mean 'best'?"),
    ],
)
def test_a_wrong_logger_is_refused_in_a_line(genexp, overrides, expected):
    code, _, err = genexp("train", "data=digits", "name=a", *overrides)
    assert code == 2 and expected in err and err.count("\n") == 1
    assert not (genexp.folder / "outputs").exists()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "aim"])
def test_a_package_that_is_not_there_is_named_with_its_extra(genexp, monkeypatch, name):
    monkeypatch.setattr("genexp.tracking.adapters.find_spec", lambda package: None)
    code, _, err = genexp("train", "data=digits", "name=a", f"logger={name}")
    assert code == 2 and f"logger.{name}: the package {name} is missing: pip install genexp[{name}]" in err


def test_a_run_folder_does_not_say_where_its_loggers_write(genexp, tiny, finished):
    finished("made", "name=a", "metrics=nll", "logger=csv")
    path = genexp.folder / "outputs/a/.hydra/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["logger"]["csv"]["name"] = "../elsewhere"
    path.write_text(yaml.safe_dump(config))
    code, _, err = genexp("repeat", "outputs/a", "name=b")
    assert code == 2 and "logger.csv.name=../elsewhere" in err
    config["logger"]["csv"] |= {"name": None, "save_dir": str(genexp.folder / "elsewhere")}
    path.write_text(yaml.safe_dump(config))
    for words in (["train", "run=outputs/a", "training.max_images=2000"], ["repeat", "outputs/a", "name=b"]):
        code, _, err = genexp(*words)
        assert code == 2 and "logger.csv.save_dir=" in err and "say it again to allow it" in err
    assert not (genexp.folder / "elsewhere").exists()
    code, _, err = genexp("repeat", "outputs/a", "name=b", "logger.csv.save_dir=elsewhere")
    assert code == 0 and (genexp.folder / "elsewhere/b/metrics.csv").exists(), err


def test_what_adapters_make_of_configs_and_names():
    assert adapter_of("pytorch_lightning.loggers.CSVLogger") is Csv
    assert adapter_of("pytorch_lightning.loggers.comet.CometLogger") is Adapter
    nested = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": {}, "f": True}
    assert dict(flat(nested)) == {"a.b": 1, "a.c": "[1, 2]", "d": "None", "e": "{}", "f": True}
    assert plain_name("test/nll_nats@temperature=0.7") == "test/nll_nats_temperature_0.7"


def test_tensorboard_shows_one_history_of_a_continued_run(genexp, tiny):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, err = genexp(*tiny("made", "name=a", "logger=tensorboard", "metrics=nll"))
    assert code == 0, err
    code, _, err = genexp("train", "run=outputs/a", "training.max_images=2500")
    assert code == 0, err
    events = EventAccumulator("outputs/a/tensorboard")
    events.Reload()
    recorded = [int(r["images"]) for r in rows_of("outputs/a/metrics.csv") if r["metric"] == "val/loss"]
    assert [event.step for event in events.Scalars("val/loss")] == recorded and len(recorded) >= 3
    assert "samples" in events.Tags()["images"]
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
    values = {r["key"]: r["value"] for r in genexp.json("outputs/a/metrics.json")}
    assert events.Scalars("test/nll_nats")[-1].value == pytest.approx(values["test/nll_nats"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_holds_one_run_of_a_continued_one(genexp, tiny, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code, _, err = genexp(*tiny("made", "name=a", "logger=mlflow", "metrics=nll"))
    assert code == 0, err
    code, _, err = genexp("train", "run=outputs/a", "training.max_images=2500")
    assert code == 0, err
    client = mlflow.MlflowClient(f"sqlite:///{genexp.folder}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name("genexp")
    (run,) = client.search_runs(experiment.experiment_id)
    assert run.info.run_name == "a" and run.info.status == "FINISHED"
    assert run.data.params["choices.model"] == "made"
    assert [v for k, v in run.data.tags.items() if k.endswith("images.training.max_images")] == ["2500"]
    recorded = [int(r["images"]) for r in rows_of("outputs/a/metrics.csv") if r["metric"] == "val/loss"]
    assert sorted(m.step for m in client.get_metric_history(run.info.run_id, "val/loss")) == recorded
    assert "samples" in {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    entry = json.loads((genexp.folder / "outputs/a/status.json").read_text())["loggers"]["mlflow"]
    assert entry == {"run_id": run.info.run_id}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_aim_holds_one_run_of_a_continued_one(genexp, tiny):
    pytest.importorskip("aim")
    from aim import Repo

    code, _, err = genexp(*tiny("made", "name=a", "logger=aim", "metrics=nll"))
    assert code == 0, err
    code, _, err = genexp("train", "run=outputs/a", "training.max_images=2500")
    assert code == 0, err
    index = "from aim.cli.cli import cli_entry_point as main; main(['storage', '--repo', 'outputs', 'reindex', '-y'])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", index], check=True, capture_output=True)  # as `aim up` does
    (run,) = Repo("outputs").iter_runs()
    assert run["hparams", "choices.model"] == "made" and run.name == "a"
    recorded = [float(r["value"]) for r in rows_of("outputs/a/metrics.csv") if r["metric"] == "val/loss"]
    (metric,) = (m for m in run.metrics() if m.name == "loss" and m.context.to_dict() == {"subset": "val"})
    assert sorted(metric.values.sparse_list()[1]) == pytest.approx(sorted(recorded))
