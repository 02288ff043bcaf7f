"""Debug runs: short, marked, never a result, and their names are free again."""

import csv
import json

import pytest

from genexp.record import checkpoint
from genexp.record.errors import ConfigError
from genexp.runs.train_config import check
from genexp.sweeps.plan import runs_in


def losses(folder, name="train/loss"):
    with open(folder / "metrics.csv") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == name]


def test_a_fast_run_tries_one_batch_of_each_and_gives_its_name_free(genexp, tiny):
    command = tiny("vae", "name=x")
    code, out, err = genexp(*command, "debug=fast")
    assert code == 0 and "a batch of test: loss" in out and "debug run (debug=fast), and no result" in out, err
    run = genexp.folder / "outputs/x"
    assert len(losses(run)) == len(losses(run, "val/loss")) == 1
    status = genexp.json("outputs/x/status.json")
    assert (status["state"], status["debug"]) == ("debug", "fast") and not (run / "metrics.json").exists()
    code, _, err = genexp("compare", "outputs/x")
    assert code == 2 and "is a result" in err
    code, _, err = genexp("train", "run=outputs/x")
    assert code == 2 and "is not continued" in err
    code, out, err = genexp(*command, "metrics=bound", "resume=true")
    assert code == 0 and "held a debug run (debug=fast): it is replaced" in out, err
    assert "debug" not in genexp.json("outputs/x/status.json") and len(losses(run)) > 1
    assert genexp(*command, "debug=fast")[0] == 2  # the other way round nothing is lost


def test_few_examples_are_learnt_by_heart(genexp, tiny, finished):
    """In as many steps as an ordinary run has, which sees other examples all the time."""
    finished("made", "name=whole", "metrics=nll")
    steps = checkpoint.load(genexp.folder / "outputs/whole/checkpoints/last.ckpt")["steps"]
    more = ["debug.overfit_batches=2", f"training.max_steps={10 * steps}", "training.max_images=null"]
    code, out, err = genexp(*tiny("made", "name=few", "debug=overfit", *more))
    assert code == 0 and "(128/250/250)" in out, err
    few, whole = (losses(genexp.folder / "outputs" / name) for name in ("few", "whole"))
    validation = losses(genexp.folder / "outputs/few", "val/loss")
    assert few[-1] < whole[-1] - 10 and few[-1] < validation[-1] - 1


def test_limited_runs_are_evaluated_and_yet_not_ranked(genexp, tiny, finished):
    finished("made", "name=whole", "metrics=nll")
    code, out, err = genexp(*tiny("made", "metrics=nll", "name=few", "debug=limit", "debug.train_batches=3"))
    assert code == 0 and "test/nll_nats" in out, err
    assert checkpoint.load(genexp.folder / "outputs/few/checkpoints/last.ckpt")["images_seen"] == 3 * 3 * 64
    code, out, _ = genexp("compare", "outputs")
    assert code == 0 and "left out: outputs/few is a debug run (debug=limit)" in out and "1 run, 1 configuration" in out


def test_a_profile_is_a_text_in_the_folder_of_the_run(genexp, tiny):
    code, out, err = genexp(*tiny("made", "name=x", "debug=profiler", "training.max_steps=3"))
    assert code == 0 and "profile: outputs/x/profile.txt" in out, err
    assert "run_training_batch" in (genexp.folder / "outputs/x/profile.txt").read_text()


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled", "ignore:Error detected in")
def test_an_anomaly_is_named_by_its_operation(genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=x", "debug=anomaly", "model.optimizer.lr=1e30"))
    assert code == 1 and "Backward0' returned nan values" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["debug=fast", "debug.train_batches=0"], "debug.train_batches=0: must be a whole number of at least 1"),
        (["debug=fast", "debug.train_batches=0.1"], "debug.train_batches=0.1: must be a whole number, or null"),
        (["debug=fast", "+debug.test_batches=1"], "debug.test_batches: debug has no such setting"),
        (["debug=fast", "trial={metric: val/loss}"], "debug: a study needs results"),
        (["+trainer.profiler=simpel"], "trainer.profiler=simpel: must be one of simple, advanced. Did you mean"),
        (["+trainer.profiler=pytorch"], "trainer.profiler=pytorch: must be an object"),
        (["+trainer.fast_dev_run=true"], "trainer.fast_dev_run=True: not a setting of a run; use debug=fast"),
    ],
)
def test_what_a_debug_run_cannot_be_is_refused(compose_train, words, line):
    with pytest.raises(ConfigError) as refused:
        check(compose_train("model=made", "data=digits", *words))
    assert str(refused.value).startswith(line) and "\n" not in str(refused.value)


def test_a_plan_does_not_count_debug_runs(tmp_path):
    for name, entries in (("a", {"debug": "fast"}), ("b", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "status.json").write_text(json.dumps({"state": "done", "updated": "", **entries}))
    assert [run.path.name for run in runs_in(tmp_path)] == ["b"]


@pytest.mark.slow
def test_a_sweep_of_debug_runs_leaves_the_place_for_the_real_one(genexp, tiny):
    command = ["train", "-m", *tiny("made")[1:], "metrics=nll", "seed=0,1", "name=s"]
    code, out, err = genexp(*command, "debug=fast")
    assert code == 0 and "outputs/s: 2 debug" in out, err
    code, out, err = genexp(*command, "training.max_steps=2")
    assert code == 0 and "outputs/s: 2 done" in out, err
