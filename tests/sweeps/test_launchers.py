"""Sweeps under launchers that are not genexp's: the same folders, failures named, continued by any other."""

import os
import shutil
import signal
import subprocess
from importlib.util import find_spec

import pytest
from equal_runs import assert_equal, outcome
from waiting import states, wait_until

PACKAGES = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
    "ray_subprocess": "ray",
}
OPTIONS = {
    "joblib": ["hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra.launcher.timeout_min=60"],
    "submitit_slurm": ["hydra.launcher.timeout_min=60", "hydra.launcher.cpus_per_task=1"],
    "ray_subprocess": [],
}
FAILED = "model.optimizer.lr_1e+30"
LONG = "training.max_images=60_000"  # some seconds: long enough to be caught in the act


def launcher(name):
    """Its overrides; skips the test where the launcher is not installed."""
    if not (find_spec("hydra_plugins") and find_spec(PACKAGES[name])):
        pytest.skip(f"{PACKAGES[name]} is not installed")
    if name == "submitit_slurm" and (not shutil.which("sinfo") or subprocess.run(["sinfo"]).returncode):
        pytest.skip("there is no Slurm")
    return [f"hydra/launcher={name}", *OPTIONS[name], "hydra.sweeper.probe=false"]


def is_training(run):
    """Whether a run has left its first steps behind."""
    return run.is_file() and run.read_text().count("\n") > 30


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_a_failure_is_named_and_another_launcher_runs_only_that_job(tiny, start, tmp_path, name):
    command = [*tiny("made", "metrics=nll", "-m", "name=s", "model.optimizer.lr=0.001,0.01,0.02,1e30")]
    begun = start(*command, *launcher(name))
    out = begun.communicate()[0]
    assert begun.returncode == 1 and "s: 3 done, 1 failed" in out, out
    assert f"{FAILED}: TrainingDiverged: train/loss is nan" in out
    done = {f"model.optimizer.lr_{lr}": "done" for lr in ("0.001", "0.01", "0.02")}
    assert states(tmp_path / "outputs/s") == {**done, FAILED: "failed"}
    continued = start(*command, "resume=true", "hydra.sweeper.probe=false")
    out = continued.communicate()[0]
    assert continued.returncode == 1 and "s: 1 failed, 3 skipped (done before)" in out, out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joblib", "ray_subprocess"])
def test_no_job_outlives_its_sweep(tiny, start, tmp_path, name):
    sweep = start(*tiny("made", "training.max_images=100_000_000", "-m", "name=s", "seed=0,1,2"), *launcher(name))
    folder = tmp_path / "outputs/s"
    wait_until(lambda: all(is_training(folder / f"seed_{seed}/metrics.csv") for seed in (0, 1)))
    sweep.send_signal(signal.SIGTERM)
    sweep.wait()
    wait_until(lambda: states(folder) == {"seed_0": "interrupted", "seed_1": "interrupted"}, 30)


def preempt_slurm(folder):
    (job,) = (path.name for path in folder.glob(".submitit/[0-9]*"))
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    wait_until(lambda: states(folder) == {"job": "interrupted"})

    def is_released():  # it waits some minutes otherwise
        subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], capture_output=True)
        return states(folder) != {"job": "interrupted"}

    wait_until(is_released)


def preempt_local(folder):
    owner = (folder / "job/.lock").read_text()  # process 123 on name
    os.kill(int(owner.split()[1]), signal.SIGUSR2)


@pytest.mark.slow
@pytest.mark.parametrize("name, preempt", [("submitit_local", preempt_local), ("submitit_slurm", preempt_slurm)])
def test_a_preempted_job_is_requeued_and_equals_the_uninterrupted_one(genexp, tiny, start, tmp_path, name, preempt):
    command = tiny("made", "metrics=nll", LONG)
    sweep = start(*command, "-m", "name=s", *launcher(name))
    folder = tmp_path / "outputs/s"
    wait_until(lambda: is_training(folder / "job/metrics.csv"))
    preempt(folder)
    out = sweep.communicate()[0]
    assert sweep.returncode == 0 and "1 done" in out, out
    (resumed,) = genexp.json("outputs/s/job/status.json")["resumed"]
    assert 0 < resumed["from_images"] < 60_000
    assert genexp(*command, "name=whole")[0] == 0
    assert_equal(outcome(folder / "job"), outcome(tmp_path / "outputs/whole"))


@pytest.mark.parametrize("requested", [signal.SIGUSR1, signal.SIGTERM])
def test_a_launchers_own_sigterm_saves_and_training_goes_on(genexp, tiny, monkeypatch, requested):
    """Slurm sends SIGTERM, which submitit ignores, long before it kills; and it may repeat its signals within a step."""
    from genexp.callbacks.clock import Clock
    from genexp.record import checkpoint

    original, heard = Clock.on_train_batch_end, []

    def hook(self, trainer, pl_module, *rest):
        original(self, trainer, pl_module, *rest)
        if pl_module.steps == 7:
            os.kill(os.getpid(), requested)
            os.kill(os.getpid(), requested)
        if pl_module.steps == 9:
            last = genexp.folder / "outputs/a/checkpoints/last.ckpt"
            heard.append(checkpoint.load(last)["steps"] if last.exists() else None)

    monkeypatch.setattr(Clock, "on_train_batch_end", hook)
    previous = {s: signal.signal(s, lambda signum, frame: heard.append(signum)) for s in (requested,)}
    try:
        code, out, _ = genexp(*tiny("made", "metrics=nll", "name=a"))
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    if requested == signal.SIGTERM:
        assert code == 0 and heard == [signal.SIGTERM, signal.SIGTERM, 7]
    else:  # one call of the launcher, which requeues, after the step was saved
        assert code == 128 + requested and heard == [requested] and "interrupted by SIGUSR1" in out
        assert checkpoint.load(genexp.folder / "outputs/a/checkpoints/last.ckpt")["steps"] == 7


def test_a_slurm_job_that_is_started_again_continues(genexp, tiny, monkeypatch):
    command = tiny("made", "metrics=nll", "name=a")
    assert genexp(*command)[0] == 0
    assert genexp(*command)[0] == 2
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    code, out, _ = genexp(*command)
    assert code == 0 and "is done" in out
