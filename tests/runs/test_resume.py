"""A resumed run equals the uninterrupted one, bit for bit, wherever it was interrupted."""

import os
import signal
import subprocess
import sys
import time

import pytest
from equal_runs import assert_equal, outcome
from tiny_overrides import FIDELITY

from genexp.record import checkpoint

METRICS = {"made": ["metrics=nll"], "gated_pixelcnn": ["metrics=nll"], "vae": ["metrics=bound"], "dcgan": FIDELITY}


@pytest.mark.parametrize("step", [7, 21, 23], ids=["in the first epoch", "at the end of an epoch", "in the second"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("model", ["made", "gated_pixelcnn", "vae", "dcgan"])
def test_a_resumed_run_equals_the_uninterrupted_one(genexp, tiny, finished, interrupt, model, workers, step):
    """One uninterrupted run, without workers, serves all of a model: how many there are changes nothing either."""
    more = [*METRICS[model], "training.ema_decay=0.9"]
    if model != "dcgan":
        schedule = "{_target_: torch.optim.lr_scheduler.CosineAnnealingLR, _partial_: true, T_max: 25}"
        more += [f"model.scheduler={schedule}", "training.gradient_clip_norm=1"]
    finished(model, *more, "name=whole")
    command = tiny(model, *more, f"data.num_workers={workers}")
    interrupt(step)
    code, out, _ = genexp(*command, "name=parts")
    assert code == 143 and "interrupted by SIGTERM" in out
    saved = checkpoint.load(genexp.folder / "outputs/parts/checkpoints/last.ckpt")
    assert saved["steps"] == step
    assert genexp.json("outputs/parts/status.json")["state"] == "interrupted"
    code, out, err = genexp(*command, "name=parts", "resume=true")
    assert code == 0 and "continues from" in out, err
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/whole"))


def test_a_run_is_continued_from_its_folder_alone(genexp, tiny, finished, interrupt):
    command = tiny("vae", "metrics=bound")
    finished("vae", "name=a", "metrics=bound")
    for step, sent, code in ((5, signal.SIGINT, 130), (9, signal.SIGTERM, 143)):
        interrupt(step, sent)
        if step == 5:
            assert genexp(*command, "name=parts")[0] == code
        else:
            assert genexp("train", "run=outputs/parts")[0] == code
    code, _, err = genexp("train", "run=outputs/parts", "training.log_every_steps=7")
    assert code == 2 and "training.log_every_steps=7" in err
    code, _, err = genexp("train", "run=outputs/parts", "modle.latent_dim=2")
    assert code == 2 and "Did you mean 'model.latent_dim'?" in err
    assert genexp("train", "run=outputs/parts", "trainer=auto")[0] == 0
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/a"))
    resumed = genexp.json("outputs/parts/status.json")["resumed"]
    assert [r["from_images"] for r in resumed] == [5 * 64, 9 * 64]
    code, out, _ = genexp("train", "run=outputs/parts")
    assert code == 0 and "is done" in out


def test_a_longer_run_continues_a_finished_one(genexp, tiny, finished):
    finished("made", "name=a", "metrics=nll")
    genexp(*tiny("made", "name=b", "metrics=nll", "training.max_images=3000"))
    code, _, err = genexp("train", "run=outputs/a", "training.max_images=3000")
    assert code == 0, err
    a, b = (checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt")["state_dict"] for name in "ab")
    assert_equal(a, b)


def test_a_limit_that_is_passed_trains_nothing(genexp, finished):
    finished("made", "name=a", "metrics=nll")
    run = genexp.folder / "outputs/a"
    files = [run / name for name in ("metrics.csv", "metrics.json", "checkpoints/last.ckpt", ".hydra/config.yaml")]
    before = [path.read_bytes() for path in files]
    for limit in ("max_images=50", "max_images=1500", "max_steps=1", "max_epochs=1"):
        code, out, err = genexp("train", "run=outputs/a", f"training.{limit}")
        assert code == 0 and out == "outputs/a is done (1,553 images)\n", out + err
        assert [path.read_bytes() for path in files] == before
    code, out, err = genexp("train", "run=outputs/a", "training.max_images=50", "evaluation.split=validation")
    assert code == 0 and "outputs/a is done (1,553 images); it is evaluated" in out, err
    assert {r["protocol"]["split"] for r in genexp.json("outputs/a/metrics.json")} == {"test", "validation"}
    assert [path.read_bytes() for path in (files[0], files[2])] == [before[0], before[2]]
    assert "max_images: 1500" in files[3].read_text()


def test_a_limit_that_an_interrupted_run_has_passed_ends_it(genexp, tiny, interrupt):
    """Before its first validation, so that the last checkpoint is the only one and the best."""
    interrupt(5)
    assert genexp(*tiny("made", "name=a", "metrics=nll"))[0] == 143
    rows = (genexp.folder / "outputs/a/metrics.csv").read_text()
    code, out, err = genexp("train", "run=outputs/a", "training.max_images=100")
    assert code == 0 and "outputs/a is done (320 images); it is evaluated" in out, err
    assert genexp.json("outputs/a/status.json")["state"] == "done" and genexp.json("outputs/a/metrics.json")
    assert (genexp.folder / "outputs/a/metrics.csv").read_text() == rows


def test_the_end_of_training_is_not_trained_again(genexp, tiny, monkeypatch):
    """Interrupted while it is evaluated, a run only needs its evaluation."""
    from genexp.runs import train

    compute = train.compute
    monkeypatch.setattr(train, "compute", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert genexp(*tiny("made", "name=a", "metrics=nll"))[0] == 143
    before = (genexp.folder / "outputs/a/checkpoints/last.ckpt").stat()
    monkeypatch.setattr(train, "compute", compute)
    assert genexp("train", "run=outputs/a")[0] == 0
    assert genexp.json("outputs/a/metrics.json")
    assert (genexp.folder / "outputs/a/checkpoints/last.ckpt").stat() == before


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(genexp, tiny, finished, interrupt, damage):
    more = ["metrics=nll", "training.checkpoint_every_minutes=0"]  # after every step
    finished("made", *more, "name=whole")
    command = tiny("made", *more)
    interrupt(9)
    genexp(*command, "name=parts")
    last = genexp.folder / "outputs/parts/checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "truncated":
        del content[-1000:]
    else:
        content[len(content) // 2] ^= 1
    last.write_bytes(content)
    code, out, err = genexp("train", "run=outputs/parts")
    assert code == 0 and "last.ckpt" in out and "previous.ckpt" in out and "continues from 512 images" in out, err
    assert_equal(outcome(genexp.folder / "outputs/parts"), outcome(genexp.folder / "outputs/whole"))
    for path in last.parent.glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:-1])
    code, _, err = genexp("train", "run=outputs/parts", "training.max_images=2000")
    assert code == 2 and "last.ckpt, previous.ckpt, best.ckpt are damaged" in err


def test_a_run_goes_on_from_before_its_weights_became_nan(genexp, finished):
    finished("made", "name=a", "metrics=nll")
    folder = genexp.folder / "outputs/a/checkpoints"
    state = checkpoint.load(folder / "last.ckpt")
    next(iter(state["state_dict"].values())).fill_(float("nan"))
    for name in ("last", "previous"):
        checkpoint.save(state, folder / f"{name}.ckpt")
    code, out, err = genexp("train", "run=outputs/a", "training.max_images=1600")
    assert code == 0 and "previous.ckpt: its weights are nan" in out and "(outputs/a/checkpoints/best.ckpt)" in out, err


def test_a_folder_has_one_owner(genexp, tiny):
    command = [sys.executable, "-m", "genexp", *tiny("made", "name=a", "training.max_images=100_000_000")]
    process = subprocess.Popen(command, cwd=genexp.folder, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if (genexp.folder / "outputs/a/checkpoints/last.ckpt").exists():
                break
            time.sleep(0.1)
        for arguments in (command[3:], ["train", "run=outputs/a"]):
            code, _, err = genexp(*arguments)
            assert code == 2 and f"in use by process {process.pid} on" in err
        process.kill()
        process.wait()
        interrupted = genexp.json("outputs/a/status.json")
        assert interrupted["state"] == "running"  # nobody could say otherwise
        seen = int((genexp.folder / "outputs/a/metrics.csv").read_text().splitlines()[-1].split(",")[0])
        code, out, err = genexp("train", "run=outputs/a", f"training.max_images={seen + 2000}")
        assert code == 0 and "continues from" in out, err
    finally:
        process.kill()


def test_other_data_do_not_continue_a_run(genexp, tiny, interrupt, monkeypatch):
    from genexp.data.digits import Digits

    interrupt(5)
    genexp(*tiny("made", "name=a", "metrics=nll"))
    monkeypatch.setattr(Digits, "fingerprint", lambda self, split: "0" * 16)
    code, _, err = genexp("train", "run=outputs/a")
    assert code == 2 and "data=digits: not the data" in err


def test_a_run_is_repeated_from_its_folder(genexp, tiny):
    genexp(*tiny("vae", "name=a", "metrics=bound", "tags=[x y]"))
    code, out, err = genexp("repeat", "outputs/a")
    assert code == 0 and "4 of 4 values equal those of outputs/a exactly" in out, err
    code, out, err = genexp("repeat", "outputs/a", "name=b", "seed=1")
    assert code == 0 and "0 of 4 values equal" in out and genexp.json("outputs/b/status.json")["state"] == "done", err
    status = genexp.json("outputs/a/status.json")
    assert status["command"].endswith("'tags=[x y]'") and set(status["data_checksums"]) == {
        "train",
        "validation",
        "test",
    }
    assert status["machine"]["cores"] == os.cpu_count()
    assert "torch==" in (genexp.folder / "outputs/a/.hydra/packages.txt").read_text()


def test_a_run_without_metrics_is_done_too(genexp, finished):
    finished("made", "metrics=[]", "name=a")
    code, out, err = genexp("train", "run=outputs/a")
    assert code == 0 and "outputs/a is done (1," in out, err


def test_a_run_that_ended_with_an_epoch_goes_on_where_validations_are_rare(genexp, tiny, finished):
    """Its last validation was due because it ended, not by the interval, which counts again after it."""
    command = tiny("made", "metrics=nll", "training.validate_every_epochs=2")
    finished("made", "metrics=nll", "training.validate_every_epochs=2", "training.max_images=5000", "name=whole")
    assert genexp(*command, "training.max_images=1297", "name=parts")[0] == 0
    code, _, err = genexp("train", "run=outputs/parts", "training.max_images=5000")
    assert code == 0, err
    whole, parts = (outcome(genexp.folder / "outputs" / name) for name in ("whole", "parts"))
    validations = [[row for row in run["rows"] if "val/loss" in row] for run in (parts, whole)]
    assert validations[0][0][0] == "1297" and validations[0][1:] == validations[1]
    assert_equal(parts["state_dict"], whole["state_dict"])
