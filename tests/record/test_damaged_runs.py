"""Finished runs that were damaged, and the verbs that meet them."""

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from torture.records import damage_checkpoints, damage_small_files

QUICK = ("train", "evaluate", "sample", "compare", "load")


def run_of(finished):
    finished("made", "metrics=nll", "name=a")
    return Path("outputs/a")


def test_small_files_damaged_at_random_are_named_in_one_line(finished):
    found = damage_small_files(run_of(finished), random.Random(1), 12, verbs=QUICK)
    assert found["tracebacks"] == [] and found["others"] == []
    assert found["one_line"] == found["named"] > 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")  # as W&B's workspaces are imported
def test_many_small_files_damaged_at_random(finished):
    found = damage_small_files(run_of(finished), random.Random(2), 300)
    assert found["tracebacks"] == [] and found["others"] == []


def test_checkpoints_damaged_at_random_are_noticed(finished):
    found = damage_checkpoints(run_of(finished), random.Random(1), 25)
    assert found == {"tried": 25, "detected": 25, "fell_back": 25, "unnoticed": []}


@pytest.mark.slow
def test_many_checkpoints_damaged_at_random(finished):
    found = damage_checkpoints(run_of(finished), random.Random(2), 250)
    assert found["detected"] == found["fell_back"] == 250


def test_one_damaged_run_stops_neither_the_table_nor_the_plan_of_others(finished, genexp):
    run = run_of(finished)
    shutil.copytree(run, "outputs/b")
    (run / "status.json").write_text('{"state": "do')
    code, out, err = genexp("compare", "outputs")
    assert code == 0 and "left out: outputs/a/status.json is damaged" in " ".join(out.split()), err
    assert "1 run, 1 configuration" in out
    code, out, err = genexp("train", "-m", "seed=0,1", "name=s", "dry_run=true", "hydra.sweeper.probe=false")
    assert code == 0 and "2 jobs to run" in out, err
    for words in (["compare", "outputs/a"], ["train", "run=outputs/a"], ["evaluate", "run=outputs/a"]):
        code, out, err = genexp(*words)
        assert code == 2 and err.count("\n") == 1 and "outputs/a/status.json is damaged" in err, (out, err)


def test_a_run_without_its_status_goes_on_from_its_checkpoint(finished, genexp):
    run = run_of(finished)
    (run / "status.json").unlink()
    code, out, err = genexp("train", f"run={run}", "training.max_images=3000")
    assert code == 0 and re.search("continues from [1-9]", out), err
    assert genexp.json(run / "status.json")["state"] == "done"


def test_values_of_former_weights_leave_the_table(finished, genexp):
    run = run_of(finished)
    code, out, err = genexp("evaluate", f"run={run}", "metrics=nll", "split=validation")
    assert code == 0, err
    code, out, err = genexp("train", f"run={run}", "training.max_images=3000")
    assert code == 0, err
    records = {r["key"]: r for r in genexp.json(run / "metrics.json")}
    assert records["validation/nll_nats"]["stale"] and records["validation/nll_nats"]["images_seen"] < 3000
    assert records["test/nll_nats"]["images_seen"] > 1500 and "stale" not in records["test/nll_nats"]
    code, out, err = genexp("compare", "outputs", "--csv", "t.csv")
    text = " ".join(out.split())
    assert code == 0 and re.search(r"left out \d values of weights that it has no more \(best at 1,", text), err
    assert Path("t.csv").read_text().splitlines()[0].startswith("run,seeds,key,")


def test_a_run_that_was_killed_says_so(finished, genexp):
    run = run_of(finished)
    status = genexp.json(run / "status.json")
    script = "import json; from genexp.record.owner import this_process; print(json.dumps(this_process()))"
    gone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    (run / "status.json").write_text(json.dumps(status | {"state": "running", "owner": json.loads(gone)}))
    (run / "metrics.json").unlink()
    shutil.copytree(run, "outputs/s/seed_0")
    code, out, err = genexp("compare", "outputs")
    assert code == 2 and "outputs/a: killed, no metrics" in out
    code, _, err = genexp("train", "model=made", "data=digits", "name=a")
    assert code == 2 and "already holds a run (killed)" in err


@pytest.mark.parametrize("option", [["--csv"], ["--plot", "bounds", "--output"]], ids=lambda words: words[-1])
@pytest.mark.parametrize("place", ["nowhere/x.png", "outputs/a", "file/x.png", ""])
def test_a_table_or_plot_that_cannot_be_written_is_one_line(finished, genexp, option, place):
    run_of(finished)
    Path("file").touch()
    code, out, err = genexp("compare", "outputs/a", *option, place)
    assert code == 2 and err.count("\n") == 1 and option[-1] in err and "Traceback" not in err, (out, err)


def test_outputs_that_is_a_file_is_one_line(genexp):
    Path("outputs").touch()
    for words in (["train", "name=x"], ["train", "-m", "seed=0,1"], ["train"]):
        code, _, err = genexp(*words)
        assert (
            code == 2
            and err == "genexp: error: outputs is not a folder, and the runs go there: rename it, or start elsewhere\n"
        )
