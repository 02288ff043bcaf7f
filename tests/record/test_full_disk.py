"""A disk that is full while a run goes on."""

import os

import pytest

from genexp.callbacks import history
from genexp.record import checkpoint


class FullAfter:
    """Stands in for what writes: fails from the n-th time on."""

    def __init__(self, function, n):
        self.function, self.left = function, n

    def __call__(self, *arguments, **options):
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")
        return self.function(*arguments, **options)


def test_the_checkpoint_that_could_not_be_written_is_named_and_the_run_goes_on_later(genexp, tiny, monkeypatch):
    command = tiny("made", "name=a", "metrics=nll", "training.max_images=3000")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", FullAfter(checkpoint._write, 1))
        code, _, err = genexp(*command)
    assert code == 1 and "No space left on device: 'outputs/a/checkpoints/last.ckpt'" in err and "Traceback" not in err
    assert genexp.json("outputs/a/status.json")["state"] == "failed"
    assert sorted(os.listdir("outputs/a/checkpoints")) == ["best.ckpt", "last.ckpt", "previous.ckpt"]  # no remains
    code, out, err = genexp("train", "run=outputs/a")
    assert code == 0 and "continues from 1," in out and genexp.json("outputs/a/status.json")["state"] == "done", err


def test_the_error_of_writing_a_checkpoint_keeps_its_cause(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    checkpoint.save({"x": 1}, path)
    monkeypatch.setattr(checkpoint.io, "FileIO", lambda *_: open("/dev/full", "wb", buffering=0))
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.ckpt'"):
        checkpoint.save({"x": list(range(100_000))}, path)
    assert checkpoint.load(path) == {"x": 1} and os.listdir(tmp_path) == ["a.ckpt"]


def test_a_history_that_cannot_be_written_is_named(genexp, tiny, monkeypatch):
    monkeypatch.setattr(history.csv, "writer", lambda file: Full())
    code, _, err = genexp(*tiny("made", "name=a", "metrics=nll"))
    assert code == 1 and "No space left on device: 'outputs/a/metrics.csv'" in err and "Traceback" not in err
    assert genexp.json("outputs/a/status.json")["state"] == "failed"


class Full:
    def writerows(self, rows):
        pass

    def writerow(self, row):
        raise OSError(28, "No space left on device")
