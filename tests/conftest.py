"""What all tests share: one thread, warnings as errors, float64 on request, tiny spaces to enumerate."""

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from composing import compose_train
from finished_runs import FinishedRuns, folder_of_session
from hypothesis import settings
from tiny_overrides import NETS, TINY

from genexp.callbacks.clock import Clock
from genexp.cli import main
from genexp.record.instantiate import ALLOW, CONFIG_DIR

LONG = 300
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.load_profile("same")  # the same examples every time, however busy the machine


def pytest_configure(config):
    for line in (
        "error",
        "ignore:.*LeafSpec:FutureWarning",  # PyTorch's own containers, used by Lightning
        "ignore:.*does not have many workers",
        "ignore:.*configure_optimizers.*None",  # a density in closed form has nothing to train
        "ignore:The `srun` command is available",  # on a machine with Slurm
    ):
        config.addinivalue_line("filterwarnings", line)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would ours


def pytest_terminal_summary(terminalreporter):
    """A hint, not a failure: long files are looked at for a second idea."""
    root = Path(__file__).parents[1]
    for path in sorted((root / "genexp").rglob("*.py")):
        if (lines := len(path.read_text().splitlines())) > LONG:
            terminalreporter.write_line(
                f"hint: {path.relative_to(root)} has {lines} lines; does it hold a second idea?"
            )


def pytest_collection_finish(session):
    """What was imported by now stays: the garbage collector need not go through all of PyTorch again and again, nor a forked
    worker copy the pages that it marks."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def float64():
    """Float64 is the default dtype of new tensors, and so of networks made in the test."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def all_examples():
    """Every example of a tiny space: ``(levels^D, *shape)`` uint8."""

    def enumerate_space(shape, levels):
        dims = torch.Size(shape).numel()
        rows = list(itertools.product(range(levels), repeat=dims))
        return torch.tensor(rows, dtype=torch.uint8).view(-1, *shape)

    return enumerate_space


@pytest.fixture(scope="session", name="compose_train")
def _compose_train():
    """Compose ``conf/train.yaml`` with overrides; the names that only a run knows are filled in."""
    return compose_train


@pytest.fixture(scope="session", autouse=True)
def yaml_is_parsed_once():
    """Hydra reads some forty files for every command, twice; what a text means does not change."""
    load, parsed = yaml.load, {}

    def remembering(stream, Loader):
        text = stream if isinstance(stream, str) else stream.read()
        if Loader.__name__ != "OmegaConfLoader":  # OmegaConf copies what it is given, others may keep and change it
            return load(text, Loader)
        if text not in parsed:
            parsed[text] = load(text, Loader)
        return parsed[text]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", remembering)
        yield


@pytest.fixture
def drawn_curves():
    """For tests that look at ``curves.png``, which takes longer than a tiny run: :func:`genexp` does not draw it otherwise."""


@pytest.fixture
def genexp(request, tmp_path, monkeypatch, capsys):
    """Runs ``genexp ...`` in an empty folder; returns (exit code, standard output, standard error)."""
    if "drawn_curves" not in request.fixturenames:
        monkeypatch.setattr("genexp.callbacks.curves.draw_curves", lambda *_, **__: False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in (CONFIG_DIR, ALLOW):  # a command with --config-dir sets them for its process
        monkeypatch.setenv(name, "")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["genexp", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    call.folder = tmp_path
    call.json = lambda path: json.loads((tmp_path / path).read_text())
    return call


@pytest.fixture
def tiny():
    """Overrides for a run of a second."""
    return lambda model, *more: ["train", f"model={model}", *TINY, *NETS[model], *more]


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory):
    return FinishedRuns(folder_of_session(tmp_path_factory))


@pytest.fixture
def finished(genexp, tiny, finished_runs):
    """Puts a finished run of a model and overrides under ``outputs/``, for tests that go on from there; returns its output."""
    return lambda model, *more, **options: finished_runs.put(genexp, *tiny(model, *more), **options)


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
