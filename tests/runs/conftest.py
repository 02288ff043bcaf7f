import os
import signal
import subprocess
import sys

import pytest
from tiny_overrides import NETS, TINY

from genexp.callbacks.clock import Clock


@pytest.fixture
def tiny():
    """Overrides for a run of a second."""
    return lambda model, *more: ["train", f"model={model}", *TINY, *NETS[model], *more]


@pytest.fixture
def start(tmp_path):
    """Starts ``genexp ...`` as a process of its own in the test's folder; it is ended with the test."""
    started = []

    def call(*arguments):
        command = [sys.executable, "-m", "genexp", *arguments]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.fixture
def interrupt(monkeypatch):
    """Sends a signal to this process within the given training step."""

    def at(step, sent=signal.SIGTERM):
        original = Clock.on_train_batch_end

        def hook(self, trainer, pl_module, *rest):
            original(self, trainer, pl_module, *rest)
            if pl_module.steps == step:
                monkeypatch.setattr(Clock, "on_train_batch_end", original)
                os.kill(os.getpid(), sent)

        monkeypatch.setattr(Clock, "on_train_batch_end", hook)

    return at
