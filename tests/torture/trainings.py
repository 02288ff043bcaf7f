"""Trainings that are made to go wrong: numbers that become NaN, processes that are killed; and what is left of them."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equal_runs import assert_equal, outcome
from tiny_overrides import MORE_NETS, NETS, TINY

from genexp.callbacks.finite import is_finite, tensors
from genexp.record import checkpoint

SMALL: dict[str, list[str]] = {
    "fvsbn": [],
    "stylegan2": ["model.generator.channels=4", "model.discriminator.channels=4", "model.generator.w_dim=8"],
    **NETS,
    **MORE_NETS,
}
"""Overrides by model that make it small."""
METRICS = {"fvsbn": "nll", "made": "nll", "gated_pixelcnn": "nll", "vae": "bound"}
"""One that is cheap, by model; none for others."""

PLANTED = '''
import math
import torch
from pytorch_lightning import Callback


class Plant(Callback):
    """Makes numbers NaN in one batch: in the output of a network ("loss"), in what it receives ("input"), or, after the batch,
    in a weight ("weights")."""

    def __init__(self, batch, where, network):
        self.batch, self.where, self.network = batch, where, network

    def _module(self, model):
        with_weights = (part for part in model.networks() if any(True for _ in part.parameters()))
        return next(with_weights) if self.network is None else getattr(model, self.network)

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        self.hook = None
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 != self.batch:
            return
        if self.where == "loss":
            self.hook = self._module(model).register_forward_hook(lambda module, args, out: nan(out))
        if self.where == "input":
            self.hook = self._module(model).register_forward_pre_hook(lambda module, args: tuple(map(nan, args)))

    def on_train_batch_end(self, trainer, model, outputs, batch, batch_idx):
        if self.hook is not None:
            self.hook.remove()
        if self.where == "weights" and trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batch:
            with torch.no_grad():
                next(self._module(model).parameters()).view(-1)[0] = math.nan


def nan(value):
    if isinstance(value, torch.Tensor):
        return value * math.nan if value.is_floating_point() else value
    return type(value)(map(nan, value)) if isinstance(value, tuple | list) else value
'''
"""A module with the callback that plants NaN, for a run that may name it in ``_target_``."""

Run = Callable[..., tuple[int, str, str]]
"""Runs ``genexp ...`` and returns exit code, standard output and standard error."""


def command(model: str, *more: str) -> list[str]:
    """``train ...`` of a tiny run of a model."""
    metrics = [f"metrics={METRICS[model]}"] if model in METRICS else ["metrics=[]"]
    return ["train", f"model={model}", *TINY, *SMALL[model], *metrics, *more]


def process(folder: Path) -> Run:
    """Runs commands as processes of their own in a folder."""

    def run(*arguments: str) -> tuple[int, str, str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "genexp", *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    return run


@dataclass(frozen=True)
class Diverged:
    """What a run with planted NaN did.

    Attributes:
        code: its exit code.
        state: in ``status.json``.
        error: its last line.
        quantity: that it names.
        late: batches after the planted one that it names; None if it names none.
        finite: whether all checkpoints on disk are.
        steps: training steps of the last one; None where there is none.
    """

    code: int
    state: str
    error: str
    quantity: str | None
    late: int | None
    finite: bool
    steps: int | None

    @property
    def is_right(self) -> bool:
        return self.code == 3 and self.state == "failed" and self.late == 0 and self.finite


def plant_nan(
    run: Run,
    folder: Path,
    model: str,
    *more: str,
    batch: int,
    where: str,
    network: str | None = None,
    name: str = "planted",
    epoch_batches: int = 21,
) -> Diverged:
    """Train a model in which something becomes NaN.

    Args:
        run: runs the command.
        folder: where it does.
        model: of ``conf/model``.
        more: overrides.
        batch: the number of the batch, over all epochs, from 1.
        where: ``loss``, ``input`` or ``weights``.
        network: the attribute of the model that is hit; None for its first network with weights.
        name: of the run.
        epoch_batches: batches of an epoch.
    """
    (folder / "planted.py").write_text(PLANTED)
    settings = f"batch: {batch}, where: {where}, network: {network or 'null'}"
    planted = f"+callbacks.planted={{_target_: planted.Plant, {settings}}}"
    code, _, err = run(*command(model, f"name={name}", planted, "allow_targets=[planted]", *more))
    line = err.strip().splitlines()[-1] if err.strip() else ""
    found = re.search(r"TrainingDiverged: (.*?) is \S+ at step \d+ \(batch (\d+) of epoch (\d+)", line)
    late = None if found is None else (int(found[3]) - 1) * epoch_batches + int(found[2]) - batch
    status = json.loads((folder / "outputs" / name / "status.json").read_text())
    states = [checkpoint.load(path) for path in (folder / "outputs" / name / "checkpoints").glob("*.ckpt")]
    return Diverged(
        code=code,
        state=status["state"],
        error=line,
        quantity=None if found is None else found[1],
        late=late,
        finite=all(is_whole(state) for state in states),
        steps=max((state["steps"] for state in states), default=None),
    )


def is_whole(state: dict[str, Any]) -> bool:
    """Whether the weights, their average and the optimizers' states of a checkpoint are finite."""
    return is_finite(tensors([state["state_dict"], state.get("ema", {}), state["optimizer_states"]]))


@dataclass(frozen=True)
class Resumed:
    """A run that was interrupted and continued: how often, and in what it differs from the uninterrupted one, if it does."""

    interruptions: int
    difference: str | None


def exact_resume(
    folder: Path,
    model: str,
    *more: str,
    sent: signal.Signals = signal.SIGTERM,
    at_images: Sequence[int] = (400, 900),
) -> Resumed:
    """Train a model in one piece, and in several: a signal ends the process once so many images were logged.

    Args:
        folder: where the runs go.
        model: of ``conf/model``.
        more: overrides.
        sent: SIGTERM, after which a run saves, or SIGKILL, after which it cannot.
        at_images: a signal for each of these, in their order.

    Returns:
        Compares weights, optimizer states, history and final values, bit for bit.
    """
    every_step = ["training.checkpoint_every_minutes=0", "training.log_every_steps=1", *more]
    _train_whole(folder, model, every_step)
    interruptions = 0
    for images in at_images:
        arguments = ["train", "run=outputs/parts"] if interruptions else command(model, "name=parts", *every_step)
        interruptions += _interrupted(folder, arguments, sent, images)
    return _finish(folder, interruptions)


def kill_and_resume(folder: Path, model: str, *more: str, seconds: Sequence[float]) -> Resumed:
    """As :func:`exact_resume`, but every attempt is killed with SIGKILL after so many seconds, whatever it is doing."""
    every_step = ["training.checkpoint_every_minutes=0", *more]
    _train_whole(folder, model, every_step)
    killed = 0
    for wait in seconds:
        arguments = command(model, "name=parts", *every_step, "resume=true")
        with _started(folder, arguments) as child:
            try:
                child.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                child.kill()
                killed += 1
            else:
                break
    code, _, err = process(folder)(*command(model, "name=parts", *every_step, "resume=true"))
    return Resumed(killed, _difference(folder) if code == 0 else err)


def _train_whole(folder: Path, model: str, settings: Sequence[str]) -> None:
    """The run ``whole``, in one piece."""
    code, _, err = process(folder)(*command(model, "name=whole", *settings))
    if code != 0:
        raise RuntimeError(f"the uninterrupted run failed: {err}")


def _started(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "genexp", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _interrupted(folder: Path, arguments: Sequence[str], sent: signal.Signals, images: int) -> bool:
    """Whether the process was still running when so many images had been logged, and the signal was sent."""
    history = folder / "outputs/parts/metrics.csv"
    with _started(folder, arguments) as child:
        while child.poll() is None and _logged(history) < images:
            time.sleep(0.01)
        child.send_signal(sent)
        return child.wait() != 0


def _logged(history: Path) -> float:
    """Images of the last whole row."""
    rows = history.read_text().splitlines(keepends=True) if history.exists() else []
    whole = [row for row in rows[1:] if row.endswith("\n")]
    return float(whole[-1].split(",")[0]) if whole else -math.inf


def _finish(folder: Path, interruptions: int) -> Resumed:
    code, _, err = process(folder)("train", "run=outputs/parts")
    return Resumed(interruptions, _difference(folder) if code == 0 else err)


def _difference(folder: Path) -> str | None:
    """In what the two runs of a folder differ; None if they are equal, bit for bit."""
    try:
        assert_equal(outcome(folder / "outputs/parts"), outcome(folder / "outputs/whole"))
    except AssertionError as error:
        return str(error) or "they differ"
    return None
