"""kill -9 of everything, twenty times, at random moments: nothing is lost, nothing is done twice."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_overrides import NETS

from genexp.record import checkpoint

pytestmark = pytest.mark.slow
JOBS = ("seed=0,1,2", "model.conditional=false,true")
SWEEP = [
    *(
        "train",
        "-m",
        "model=gated_pixelcnn",
        *NETS["gated_pixelcnn"],
        "data=digits",
        "trainer=cpu",
        "metrics=nll",
        *JOBS,
    ),
    *(
        "training.max_images=60_000",
        "training.checkpoint_every_minutes=0.01",
        "samples.n=16",
        "hydra.sweeper.probe=false",
    ),
]


def kill_all(mark):
    """SIGKILL for every process with ``mark`` in its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "cmdline").read_bytes().decode():
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            pass


def run(folder, name, *more, seconds=None):
    """A sweep as a process of its own; its exit code, or None if it was killed with all its jobs after ``seconds``."""
    with open(folder / "log.txt", "a") as log:
        command = [sys.executable, "-m", "genexp", *SWEEP, f"name={name}", *more]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            return process.wait(timeout=seconds or 1200)
        except subprocess.TimeoutExpired:
            kill_all(name)
            process.wait()
            return None


def test_twenty_times_killed(tmp_path):
    mark = f"killed-{os.getpid()}"
    root = tmp_path / "outputs" / mark
    moments = random.Random(0)
    done = {}
    for _ in range(20):
        run(tmp_path, mark, "resume=true", "hydra.launcher.n_jobs=2", seconds=moments.uniform(3, 30))
        for path in root.glob("*/checkpoints/*.ckpt"):
            checkpoint.verify(path)
        for path in root.glob("*/status.json"):
            status = json.loads(path.read_text())
            assert status["state"] in ("running", "interrupted", "done")
            if status["state"] == "done":
                assert done.setdefault(path.parent.name, status) == status, "done twice"
    print("done while being killed:", sorted(done))
    assert run(tmp_path, mark, "resume=true", "hydra.launcher.n_jobs=2") == 0, (tmp_path / "log.txt").read_text()[
        -3000:
    ]
    assert run(tmp_path, f"whole-{mark}", "hydra.launcher.n_jobs=2") == 0
    folders = sorted(path.parent for path in root.glob("*/status.json"))
    assert len(folders) == 6
    resumed = 0
    for folder in folders:
        whole = tmp_path / "outputs" / f"whole-{mark}" / folder.name
        status = json.loads((folder / "status.json").read_text())
        assert status["state"] == "done" and done.get(folder.name, status) == status
        resumed += len(status.get("resumed", []))
        a, b = (checkpoint.load(f / "checkpoints/last.ckpt") for f in (folder, whole))
        assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in b["state_dict"])
        rows = [[r.split(",") for r in (f / "metrics.csv").read_text().splitlines()] for f in (folder, whole)]
        assert [r[:3] + r[4:] for r in rows[0]] == [r[:3] + r[4:] for r in rows[1]]  # all but the seconds
        assert json.loads((folder / "metrics.json").read_text()) == json.loads((whole / "metrics.json").read_text())
    assert resumed >= 5
    print("resumptions:", resumed)
