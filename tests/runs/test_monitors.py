"""Metrics while a run trains: where their values go, what they decide, and that they change nothing else."""

import csv
import sys

import pytest
from equal_runs import assert_equal, outcome
from tiny_overrides import FIDELITY

import genexp as package
from genexp.record import checkpoint

FID = "val/fid_mnistcnn_60"
SMALL = ["monitors=fidelity", *(item.replace("metrics", "monitors", 1) for item in FIDELITY)]
MEMORY = [
    "+monitors={memorisation: {_target_: genexp.metrics.memorisation.Memorisation, n: 60, knobs: {}, batch_size: 60}}"
]
LONG = ["training.max_images=6000", "evaluation.monitor_every_images=1"]  # 21 steps and 1,297 images an epoch

SCRIPTED = """
from genexp.families.base import GenerativeModule
from genexp.metrics.base import Metric
from genexp.record.values import Value

class Scripted(Metric):
    requires = (GenerativeModule,)

    def __init__(self, values, direction):
        self.values, self.direction = values, direction

    def compute(self, model, data, split, seed):
        epoch = model.images_seen // 1297
        weight = sum(p.double().sum() for p in model.parameters()).item()
        common = {"split": split, "unit": "", "kind": "estimate", "n": 1, "stderr": None, "protocol": {}}
        return [
            Value(quantity="scripted", value=self.values[epoch], direction=self.direction, **common),
            Value(quantity="weight", value=weight, direction="min", **common),
        ]
"""


def history(folder, metric):
    with open(f"outputs/{folder}/metrics.csv") as file:
        return {int(row["images"]): float(row["value"]) for row in csv.DictReader(file) if row["metric"] == metric}


def best(folder):
    return checkpoint.load(f"outputs/{folder}/checkpoints/best.ckpt")["images_seen"]


@pytest.fixture
def scripted(genexp, tiny, finished):
    """Trains MADE with a monitor whose value after each epoch is given; ``val/weight`` is the sum of the weights.
    ``scripted.finished`` does so once a session."""

    def arguments(values, direction, *more):
        (genexp.folder / "scripted.py").write_text(SCRIPTED)
        sys.modules.pop("scripted", None)
        node = f"{{_target_: scripted.Scripted, values: {values}, direction: {direction}}}"
        stand_in = [f"+monitors.scripted={node}", "allow_targets=[scripted]", "metrics=nll"]
        return *stand_in, *LONG, "training.monitor=val/scripted", *more

    def run(*script):
        return genexp(*tiny("made", *arguments(*script)))

    run.finished = lambda *script: finished("made", *arguments(*script))
    return run


def test_the_checkpoint_of_the_best_fid_is_kept_and_nothing_else_changes(genexp, tiny):
    common = [*FIDELITY, "training.max_images=3000"]
    code, _, err = genexp(*tiny("dcgan", "name=plain", *common))
    assert code == 0, err
    monitored = [*SMALL, "evaluation.monitor_every_images=1", f"training.monitor={FID}"]
    code, _, err = genexp(*tiny("dcgan", "name=a", *common, *monitored))
    assert code == 0, err
    values = history("a", FID)
    assert len(values) == 3 and best("a") == min(values, key=values.get)
    assert {r["selection"] for r in genexp.json("outputs/a/metrics.json")} == {f"smallest {FID}"}
    a, plain = (checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt")["state_dict"] for name in ("a", "plain"))
    assert_equal(a, plain)
    code, _, err = genexp("evaluate", "run=outputs/a", "checkpoint=best", *FIDELITY, "split=validation")
    (fid,) = (r for r in genexp.json("outputs/a/metrics.json") if r["key"] == FID.replace("val", "validation"))
    assert code == 0 and fid["selection"] == f"smallest {FID}", err


@pytest.mark.parametrize(("direction", "epoch"), [("min", 2), ("max", 3)])
def test_the_direction_of_the_metric_decides(genexp, scripted, direction, epoch):
    code, _, err = scripted([9, 3, 1, 4, 1, 4], direction, "name=a")
    assert code == 0, err
    assert list(history("a", "val/scripted").values()) == [3, 1, 4, 1, 1]
    assert best("a") == epoch * 1297
    word = {"min": "smallest", "max": "largest"}[direction]
    assert {r["selection"] for r in genexp.json("outputs/a/metrics.json")} == {f"{word} val/scripted"}


def test_values_come_at_intervals_and_only_they_decide(genexp, scripted):
    """Validations after 1, 2, 3, 4 and 4.6 epochs; measured first, after 2,000 and 4,000 images, and last."""
    code, _, err = scripted([9, 3, 2, 0, 4, 4], "min", "name=a", "evaluation.monitor_every_images=2000")
    assert code == 0, err
    assert [images // 1297 for images in history("a", "val/scripted")] == [1, 2, 4, 4]
    assert len(history("a", "val/loss")) == 5 and best("a") == 2 * 1297


def test_patience_counts_measurements(genexp, scripted):
    more = ["training.patience=2", "training.max_images=20000"]
    code, _, err = scripted([9, 1, 2, 3, *range(20)], "min", "name=a", *more)
    assert code == 0, err
    assert [images // 1297 for images in history("a", "val/loss")] == [1, 2, 3]
    more.append("evaluation.monitor_every_images=2000")
    code, _, err = scripted([9, 1, 2, 3, 2, 2, 2, *range(20)], "min", "name=b", *more)
    assert code == 0, err
    assert [images // 1297 for images in history("b", "val/scripted")] == [1, 2, 4]


def test_the_average_of_the_weights_is_measured(genexp, scripted):
    code, _, err = scripted([0] * 9, "min", "name=a", "training.ema_decay=0.9")
    assert code == 0, err
    state = checkpoint.load("outputs/a/checkpoints/last.ckpt")
    names = [name for name, _ in package.load("outputs/a").named_parameters()]
    sums = {key: sum(state[key][name].double().sum().item() for name in names) for key in ("ema", "state_dict")}
    *_, last = history("a", "val/weight").values()
    assert last == pytest.approx(sums["ema"], rel=1e-6) and abs(last - sums["state_dict"]) > 1e-3


@pytest.mark.parametrize("step", [21, 30, 63])
def test_a_resumed_run_equals_the_uninterrupted_one(genexp, scripted, interrupt, step):
    settings = [[9, 1, 2, 2, 3, 2], "min", "training.patience=3", "evaluation.monitor_every_images=1500"]
    scripted.finished(*settings, "name=whole")
    interrupt(step)
    assert scripted(*settings, "name=parts")[0] == 143
    code, _, err = scripted(*settings, "name=parts", "resume=true")
    assert code == 0, err
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/whole"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ([*SMALL, "training.monitor=val/fid_mnistcnn_50"], f"must be one of val/loss, {FID}, "),
        ([*SMALL, "training.monitor=val/fid_mnistcnn_50"], f"Did you mean '{FID}'?"),
        (
            ["monitors=fidelity", "monitors.fidelity.kid_subset_size=300"],
            "monitors: kid_subset_size=300: must be at most",
        ),
        (["monitors=fidelity", "data=toy"], "monitors=fidelity: needs images"),
        (
            [*MEMORY, "training.monitor=val/data_copying_z_60"],
            "data_copying_z_60: neither small nor large values of it",
        ),
        (["evaluation.monitor_every_images=0"], "evaluation.monitor_every_images=0: must be a whole number"),
    ],
)
def test_what_cannot_work_is_refused_before_training(genexp, tiny, overrides, line):
    code, _, err = genexp(*tiny("made", "name=a", *overrides))
    assert code == 2 and line in err and err.count("\n") == 1, err
    assert not (genexp.folder / "outputs/a").exists()


def test_the_duality_gap_leaves_training_as_it_is(genexp, tiny):
    """It trains copies of both players, in the midst of training, beside a moving average and under batch normalisation."""
    common = ["training.max_images=3000", "training.ema_decay=0.9", "model/penalties=[r1]", "metrics=[duality_gap]"]
    common += ["metrics.duality_gap.steps=2", "metrics.duality_gap.limit=50"]
    monitored = ["monitors=duality_gap", "monitors.duality_gap.steps=2", "evaluation.monitor_every_images=1"]
    for name, more in (("plain", []), ("a", monitored)):
        code, _, err = genexp(*tiny("dcgan", f"name={name}", *common, *more))
        assert code == 0, err
    values = history("a", "val/duality_gap_nats_2")
    assert len(values) == 3 and all(0 < value < 1.5 for value in values.values())
    assert_equal(*(checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt")["state_dict"] for name in ("a", "plain")))
    (record,), (plain,) = (genexp.json(f"outputs/{name}/metrics.json") for name in ("a", "plain"))
    assert record["key"] == "test/duality_gap_nats_2" and record["value"] == plain["value"]


def test_a_study_optimises_a_monitor(genexp, tiny):
    optuna = pytest.importorskip("optuna", reason="needs the extra genexp[optuna]")
    (genexp.folder / "scripted.py").write_text(SCRIPTED)
    node = "{_target_: scripted.Scripted, values: [9, 1, 3, 2], direction: max}"
    search = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.metric=val/scripted", "hydra.sweeper.direction=maximize"]
    search += ["hydra.sweeper.n_trials=2", "hydra/launcher=basic", "model.optimizer.lr=tag(log,interval(1e-4,1e-2))"]
    monitors = [f"+monitors.scripted={node}", "allow_targets=[scripted]", "evaluation.monitor_every_images=2000"]
    code, _, err = genexp(*tiny("made", "name=s", "metrics=nll", "training.max_images=4000", *monitors, *search))
    assert code == 0, err
    study = optuna.load_study(study_name="s", storage="sqlite:///outputs/s/study.db")
    for trial in study.trials:
        assert trial.value == 3.0 and list(trial.intermediate_values.values()) == [1.0, 3.0, 2.0]
