"""Sweeps through the command line, for real: failures, growth, signals, processes that die."""

import json
import os
import re
import signal

import pytest
from tiny_overrides import NETS, TINY
from waiting import states, wait_until

TWO = ["training.max_images=12000,300", "name=s"]
"""A job that runs for a while, and a short one."""
FIRST, SECOND = "training.max_images_12000", "training.max_images_300"
QUIET = ["hydra.sweeper.probe=false"]
LONG = [
    "train",
    "model=gated_pixelcnn",
    *TINY,
    *NETS["gated_pixelcnn"],
    "samples.every_images=null",
    "metrics=nll",
    *QUIET,
]


@pytest.mark.slow
def test_a_failing_job_costs_the_others_nothing_and_the_grid_can_grow(genexp, tiny):
    sweep = tiny("vae", "-m", "name=s", "metrics=bound")
    code, out, _ = genexp(*sweep, "model.optimizer.lr=1e30,1e-3", "hydra.launcher.n_jobs=2")
    assert "2 jobs to run, about " in out and "(a few steps; without the evaluation)" in out
    sweep += QUIET
    assert code == 1 and "1 done, 1 failed" in out and "resume=true" in out and "genexp compare outputs/s" in out
    assert re.search(r"lr_1e\+30: TrainingDiverged: .*\(outputs/s/model.optimizer.lr_1e\+30/log.txt\)", out), out
    assert "[model.optimizer.lr_0.001] " in out and "2 of 2 ended" not in out
    root = genexp.folder / "outputs/s"
    assert states(root) == {"model.optimizer.lr_0.001": "done", "model.optimizer.lr_1e+30": "failed"}
    assert "evaluating bound" in (root / "model.optimizer.lr_0.001/log.txt").read_text()
    before = (root / "model.optimizer.lr_0.001/status.json").read_text()
    assert "group: s\n" in (root / "model.optimizer.lr_0.001/.hydra/resolved.yaml").read_text()
    assert genexp.json("outputs/s/model.optimizer.lr_0.001/status.json")["job_seconds"] > 0

    code, _, err = genexp(*sweep, "model.optimizer.lr=1e-3,2e-3")
    assert code == 2 and "already holds 2 runs; resume=true" in err

    code, _, err = genexp(*sweep, "model.optimizer.lr=1e-3,2e-3", "resume=true", "training.batch_size=32")
    assert code == 2 and "training.batch_size (64, now 32)" in err

    code, out, err = genexp(
        *sweep, "seed=0,1", "model.optimizer.lr=1e-3", "resume=true"
    )  # another key, hence other names
    assert code == 0, err
    assert "lr_0.001  skip: done" in out and "1 done, 1 skipped" in out and "from finished" not in out
    assert (root / "model.optimizer.lr_0.001/status.json").read_text() == before
    assert set(states(root)) == {"model.optimizer.lr_0.001", "model.optimizer.lr_1e+30", "seed_1"}
    code, out, _ = genexp(*tiny("vae", "-m", "seed=0,1", "name=t", "metrics=bound", "dry_run=true"))
    assert code == 0 and "2 jobs to run, about " in out and "(finished runs)" in out
    code, out, _ = genexp("compare", "outputs/s")
    assert code == 0 and "failed" in out and "2 runs, 1 configuration" in out


def test_jobs_of_a_launcher_in_this_process_fail_alone_too(genexp, tiny):
    code, out, err = genexp(
        *tiny(
            "made", "-m", "training.monitor=val/loss,val/los", "name=s", "metrics=nll", "hydra/launcher=basic", *QUIET
        )
    )
    assert code == 1 and "1 done, 1 failed" in out and "Did you mean 'val/loss'?" in err
    assert sorted(states(genexp.folder / "outputs/s").values()) == ["done", "failed"]
    run = next(path.parent for path in (genexp.folder / "outputs/s").glob("*/.hydra"))
    config = (run / ".hydra/resolved.yaml").read_text()
    assert f"name: {run.name}\n" in config and "group: s\n" in config


@pytest.mark.slow
def test_a_job_that_is_killed_gets_a_status_and_the_next_one_runs(start, tmp_path):
    process = start(*LONG, "-m", "training.max_images=12000,one,300", "name=s")
    lock = tmp_path / f"outputs/s/{FIRST}/.lock"
    wait_until(lambda: (lock.parent / "metrics.csv").exists())
    os.kill(int(re.search(r"process (\d+)", lock.read_text()).group(1)), signal.SIGKILL)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 1 and "1 done, 2 failed" in out and "killed by SIGKILL" in out, out
    assert states(tmp_path / "outputs/s") == {FIRST: "failed", SECOND: "done"}
    status = json.loads((lock.parent / "status.json").read_text())
    assert status["exit_code"] == -9 and status["last_lines"]


def test_a_sweep_survives_its_own_end(start, tmp_path):
    """Killed: its jobs save and stop. Continued, and told to stop: the same. Continued again: done."""
    sweep = [*LONG, "-m", *TWO, "resume=true"]
    root = tmp_path / "outputs/s"
    process = start(*sweep)
    wait_until(lambda: (root / FIRST / "checkpoints/last.ckpt").exists())
    process.kill()
    wait_until(lambda: states(root).get(FIRST) == "interrupted")
    assert states(root) == {FIRST: "interrupted"}

    process = start(*sweep)
    wait_until(lambda: "continues from" in (root / FIRST / "log.txt").read_text())
    wait_until(lambda: json.loads((root / FIRST / "status.json").read_text())["state"] == "running")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 143 and "1 interrupted, 1 not begun" in out, out
    assert re.search(rf"{FIRST}  resume \(interrupted after [\d,]+ images\)", out), out

    process = start(*sweep)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0 and "2 done" in out, out
    assert states(root) == {FIRST: "done", SECOND: "done"}


@pytest.mark.slow
def test_distributed_jobs_leave_no_stray_folders(start, tmp_path):
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    small = ["train", "model=made", *TINY, *NETS["made"], "metrics=nll"]
    process = start(*[o for o in small if o != "trainer=cpu"], *ddp, "-m", "seed=0,1", "name=s")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "2 done" in out, out
    assert os.listdir(tmp_path / "outputs") == ["s"]
    assert states(tmp_path / "outputs/s") == {"seed_0": "done", "seed_1": "done"}
    assert sorted(os.listdir(tmp_path / "outputs/s")) == ["seed_0", "seed_1"]
