"""The time of a plan: what was measured counts, and what was not is said why."""

import json
import subprocess

from rich.console import Console

from genexp.record.folder import RunFolder
from genexp.sweeps import estimate
from genexp.sweeps.job import Job

TRAINING = {"batch_size": 10, "accumulate_batches": 1, "max_images": 1000, "max_steps": None, "max_epochs": None}


def jobs(tmp_path, n):
    configs = [{"training": TRAINING, "model": {"width": str(i)}} for i in range(n)]
    return [Job(f"j{i}", [], RunFolder(tmp_path / f"j{i}"), c, {"width": f"w{i}"}) for i, c in enumerate(configs)]


def announced(tmp_path, capsys, n, probe=True):
    todo, console = jobs(tmp_path, n), Console()
    estimate.RemainingTime(todo, estimate.estimate(todo, tmp_path, probe, {}, console), 1, console).announce()
    return " ".join(capsys.readouterr().out.split())


def test_what_was_measured_before_the_limit_counts(tmp_path, capsys, monkeypatch):
    line = json.dumps({"image_s": 0.06, "start_s": 0.0, "epoch_images": 1000})

    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout, output=f"a class prints\n{line}\n{line[:9]}".encode())

    monkeypatch.setattr(subprocess, "run", run)
    said = announced(tmp_path, capsys, 2)
    assert "measuring the speed of 2 configurations" in said
    assert f"time unknown, 1 of them about 60 s (the measurement took longer than {estimate.PROBE_S} s)" in said


def test_a_reason_is_given_for_what_was_not_measured(tmp_path, capsys, monkeypatch):
    out = json.dumps({"unknown": "several processes are not measured"}).encode()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, out, b""))
    assert "1 job to run, time unknown (several processes are not measured)" in announced(tmp_path, capsys, 1)
    assert "hydra.sweeper.probe=false" in announced(tmp_path, capsys, 1, probe=False)
