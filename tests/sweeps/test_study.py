"""Searches by Optuna through the command line: they find, prune, survive, retry, and refuse what is wrong."""

import csv
import json
import sys

import pytest
from omegaconf import OmegaConf
from tiny_overrides import NETS, TINY
from waiting import wait_until

optuna = pytest.importorskip("optuna", reason="needs the extra genexp[optuna]")

RATES = "model.optimizer.lr=tag(log,interval(1e-6,1e-1))"
HERE = ["hydra/launcher=basic"]  # jobs in this process, where starting one takes no time
SEARCH = ["-m", "hydra/sweeper=optuna", "metrics=nll", "evaluation.split=validation", "samples.every_images=100000"]
PRUNE = ["hydra.sweeper.pruner.n_startup_trials=2", "training.max_images=4000"]


def study_in(root):
    return optuna.load_study(study_name=root.name, storage=f"sqlite:///{root / 'study.db'}")


def states(root):
    return [trial.state.name for trial in study_in(root).trials]


def history(folder, metric):
    with open(folder / "metrics.csv") as file:
        return {int(row["images"]): float(row["value"]) for row in csv.DictReader(file) if row["metric"] == metric}


def test_a_search_finds_a_good_point_and_prunes_hopeless_ones(genexp, tiny):
    sweep = [*tiny("made", *SEARCH, *HERE, RATES, "hydra.sweeper.sampler.n_startup_trials=3", "seed=0,1"), *PRUNE]
    code, out, err = genexp(*sweep, "name=s", "hydra.sweeper.n_trials=6")
    assert code == 0, err
    root = genexp.folder / "outputs/s"
    study = study_in(root)
    assert len(study.trials) == 6 and set(states(root)) == {"COMPLETE", "PRUNED"}
    done = [t.value for t in study.trials if t.state.name == "COMPLETE"]
    best = OmegaConf.load(root / "best.yaml")
    assert best.value == min(done) < max(done) - 1 and best.value == study.best_value
    assert best.repeat == f"genexp repeat {best.folder}" and best.repeat in out and "6 of 6 trials" in out
    for trial in study.trials:
        folder = genexp.folder / trial.user_attrs["folder"]
        values = history(folder, "val/loss")
        assert trial.intermediate_values == pytest.approx(values, rel=1e-6)
        status = json.loads((folder / "status.json").read_text())
        assert status["state"] == ("done" if trial.state.name == "COMPLETE" else "pruned")
        assert trial.user_attrs["overrides"][0].startswith("model.optimizer.lr=")
        if trial.state.name == "COMPLETE":
            assert trial.value == min(values.values()) and max(values) >= 4000
        else:
            assert max(values) < 4000 and "val/loss is" in status["reason"] and not (folder / "metrics.json").exists()
            assert (folder / "checkpoints/last.ckpt").exists()
    pruned = states(root).count("PRUNED")
    assert f"{6 - pruned} done, {pruned} pruned" in out and "to continue" not in out
    code, out, err = genexp(*best.repeat.split()[1:], "name=again")
    assert code == 0 and "2 of 2 values" in out, (out, err)
    assert (
        len(study_in(root).trials) == 6
        and "trial: null" in (genexp.folder / "outputs/again/.hydra/config.yaml").read_text()
    )
    code, out, _ = genexp("compare", "outputs/s")
    assert code == 0 and out.count("pruned") == pruned

    # half of it, continued, is the same; what is done or pruned is left alone
    assert genexp(*sweep, "name=t", "hydra.sweeper.n_trials=4")[0] == 0
    other = genexp.folder / "outputs/t"
    before = {path: path.read_text() for path in other.glob("*/status.json")}
    code, out, err = genexp(*sweep, "name=t", "hydra.sweeper.n_trials=6", "resume=true")
    assert code == 0 and "4 skipped" in out, err
    assert {path: path.read_text() for path in before} == before
    assert [t.params for t in study_in(other).trials] == [t.params for t in study.trials]
    assert states(other) == states(root)

    # the same again is nothing to do, and another search is refused in one line
    code, out, err = genexp(*sweep, "name=t", "hydra.sweeper.n_trials=6", "resume=true")
    assert code == 0 and "6 skipped" in out and len(study_in(other).trials) == 6
    for wrong, words in {
        "seed=0,1,2": "seed: the study t in sqlite:///outputs/t/study.db searches one of 0, 1, now one of 0, 1, 2",
        "model.optimizer.lr=tag(log,interval(1e-5,1e-1))": "float from 1e-06 to 0.1, now the logarithm of float from 1e-05",
        "hydra.sweeper.direction=maximize": "has minimize",
        "hydra.sweeper.metric=val/los": "holds values of val/loss",
        "training.batch_size=32": "training.batch_size (64, now 32)",
    }.items():
        code, _, err = genexp(*sweep, "name=t", wrong, "resume=true")
        assert code == 2 and words in err and err.count("\n") == 1, err
    code, _, err = genexp(*sweep, "name=t")
    assert code == 2 and "resume=true" in err
    assert states(other) == states(root)


def test_a_point_that_comes_again_is_not_run_again(genexp, tiny):
    sweep = tiny("made", *SEARCH, *HERE, "name=s", "model.optimizer.lr=1e-3,1e-2", "hydra.sweeper.n_trials=4")
    code, _, err = genexp(*sweep, "hydra.sweeper.metric=validation/nll_nats", "hydra.sweeper.pruner=null")
    assert code == 0, err
    root = genexp.folder / "outputs/s"
    assert len(list(root.glob("*/status.json"))) == 2 and states(root) == ["COMPLETE"] * 4
    for trial in study_in(root).trials:
        final = json.loads((genexp.folder / trial.user_attrs["folder"] / "metrics.json").read_text())
        assert trial.value == next(record["value"] for record in final if record["key"] == "validation/nll_nats")
    best = study_in(root).best_trial.params
    assert best == {"model.optimizer.lr": "0.01"}


FLAKY = """
from pathlib import Path
from genexp.families.autoregressive import Autoregressive

class Flaky(Autoregressive):
    def training_step(self, batch, batch_idx):
        if self.steps == 25 and not Path("failed").exists():
            Path("failed").touch()
            raise OSError("the disk is gone")
        return super().training_step(batch, batch_idx)
"""


@pytest.mark.slow
def test_a_failed_trial_is_tried_again_and_a_diverged_one_is_not(genexp, tiny):
    (genexp.folder / "flaky.py").write_text(FLAKY)
    sweep = tiny("made", *SEARCH, "model._target_=flaky.Flaky", "allow_targets=[flaky]", "training.max_images=3000")
    code, out, err = genexp(*sweep, "name=s", "seed=range(0,9)", "hydra.sweeper.n_trials=2")
    assert code == 0 and "the disk is gone" in out, err
    root = genexp.folder / "outputs/s"
    first, again, other = study_in(root).trials
    assert states(root) == ["FAIL", "COMPLETE", "COMPLETE"] and "(retry of 0)" in out
    assert again.user_attrs["retry_of"] == 0 and again.params == first.params != other.params
    assert first.user_attrs["folder"] == again.user_attrs["folder"] and "the disk is gone" in first.user_attrs["error"]
    status = json.loads((genexp.folder / again.user_attrs["folder"] / "status.json").read_text())
    assert status["resumed"][0]["from_images"] > 0
    assert list(again.intermediate_values) == sorted(history(genexp.folder / again.user_attrs["folder"], "val/loss"))

    code, out, _ = genexp(
        *sweep, *HERE, "name=d", "model.optimizer.lr=1e30", "seed=range(0,9)", "hydra.sweeper.n_trials=1"
    )
    assert code == 1 and states(genexp.folder / "outputs/d") == ["FAIL"] and "TrainingDiverged" in out
    assert "no trial is done" in out


@pytest.mark.slow
def test_a_search_survives_the_end_of_its_process(start, tmp_path):
    """Killed while a trial runs, and continued: the trial goes on from its checkpoint as what it was."""
    space = "model.optimizer.lr=tag(log,interval(1e-3,1e-2))"
    tiny = [
        "train",
        "model=gated_pixelcnn",
        *TINY,
        *NETS["gated_pixelcnn"],
        *SEARCH,
        "training.max_images=25000",
        "name=s",
        space,
    ]
    sweep = [*tiny, "hydra.sweeper.n_trials=2", "resume=true"]
    root = tmp_path / "outputs/s"
    process = start(*sweep)
    wait_until(lambda: list(root.glob("*/checkpoints/previous.ckpt")))
    process.kill()
    (run,) = (path.parent for path in root.glob("*/status.json"))
    wait_until(lambda: json.loads((run / "status.json").read_text())["state"] == "interrupted")
    (before,) = study_in(root).trials
    assert before.state.name == "RUNNING" and len(before.intermediate_values) >= 2

    process = start(*sweep)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0 and "2 of 2 trials" in out and "already reported" not in out, out
    first, _ = study_in(root).trials
    assert states(root)[0] == "COMPLETE" and first.params == before.params
    assert before.intermediate_values.items() <= first.intermediate_values.items()
    assert first.intermediate_values == pytest.approx(history(run, "val/loss"), rel=1e-6)
    assert "continues from" in (run / "log.txt").read_text() and len(list(root.glob("*/status.json"))) == 2


WRONG = {
    "hydra.sweeper.n_trials=0": "hydra.sweeper.n_trials=0: must be a whole number",
    "hydra.sweeper.direction=minimise": "Did you mean 'minimize'?",
    "hydra.sweeper.metric=test/nll_nats": "evaluation.split=validation",
    "hydra.sweeper.metric=validation/nll_nats": "hydra.sweeper.pruner",
    "hydra.sweeper.sampler._target_=optuna.samplers.TPE": "hydra.sweeper.sampler",
    "hydra.sweeper.sampler._target_=os.system": "hydra.sweeper.sampler._target_=os.system",
    "hydra.sweeper.pruner._target_=optuna.pruners.NopPruner": "hydra.sweeper.pruner",
    "model.optimizer.lr=tag(log,interval(0,1))": "0 < low < high",
    "model.optimizer.lr=1e-3": "nothing to search",
    "training.batch_size=0": "training.batch_size=0",
    "hydra.sweeper.storage=nowhere": "hydra.sweeper.storage=nowhere",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_search_that_cannot_begin(genexp, tiny, override):
    code, _, err = genexp(*tiny("made", *SEARCH, *HERE, RATES, "name=s", override))
    assert code == 2 and WRONG[override] in err and err.count("\n") == 1, err
    assert not [path for path in genexp.folder.rglob("*") if path.is_file()]


def test_without_optuna_the_extra_is_named(genexp, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = genexp(*tiny("made", *SEARCH, *HERE, RATES, "name=s"))
    assert code == 2 and "pip install 'genexp[optuna]'" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "metric, words", [("val/los", "Did you mean 'val/loss'?"), ("validation/nl", "validation/nll_nats")]
)
def test_a_metric_that_no_run_has_ends_the_search_and_can_be_set_right(genexp, tiny, metric, words):
    sweep = tiny("made", *SEARCH, *HERE, RATES, "name=s", "hydra.sweeper.n_trials=2", "hydra.sweeper.pruner=null")
    code, _, err = genexp(*sweep, f"hydra.sweeper.metric={metric}")
    assert code == 2 and f"hydra.sweeper.metric={metric}" in err and words in err
    assert states(genexp.folder / "outputs/s") == ["RUNNING"]
    code, _, err = genexp(*sweep, "resume=true")
    assert code == 0 and states(genexp.folder / "outputs/s") == ["COMPLETE"] * 2, err


def test_a_dry_run_shows_the_space_and_writes_nothing(genexp, tiny):
    code, out, err = genexp(*tiny("made", *SEARCH, RATES, "name=s", "dry_run=true", "hydra.sweeper.n_trials=7"))
    assert code == 0 and "7 trials, minimize val/loss, TPESampler, MedianPruner" in out and f"  {RATES}\n" in out, err
    assert not [path for path in genexp.folder.rglob("*") if path.is_file()]


def test_the_ready_search_composes(genexp):
    code, out, err = genexp("train", "sweep=tpe", "name=s", "data=digits", "dry_run=true")
    assert code == 0 and "30 trials" in out and "model.latent_dim=tag(log,int(interval(5,100)))" in out, err
    other = ["model=made", "hydra.sweeper.params=null", "-m", RATES]
    code, out, err = genexp("train", "sweep=tpe", *other, "name=s", "data=digits", "dry_run=true")
    assert code == 0 and RATES in out and "latent_dim" not in out, err


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a=1,b", optuna.distributions.CategoricalDistribution(["1", "b"])),
        ("a=range(2,9,3)", optuna.distributions.IntDistribution(2, 8, step=3)),
        ("a=interval(0,1)", optuna.distributions.FloatDistribution(0, 1)),
        ("a=tag(log,interval(1e-4,1))", optuna.distributions.FloatDistribution(1e-4, 1, log=True)),
        ("a=int(interval(1,8))", optuna.distributions.IntDistribution(1, 8)),
        ("a=tag(log,int(interval(1,8)))", optuna.distributions.IntDistribution(1, 8, log=True)),
    ],
)
def test_the_grammar_of_spaces(text, expected):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from genexp.sweeps.optuna import distribution

    assert distribution(OverridesParser.create().parse_override(text)) == expected
