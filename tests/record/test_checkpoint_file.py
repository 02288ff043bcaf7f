import os

import pytest
import torch

from genexp.record import checkpoint


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint.save({"weights": torch.arange(50.0), "steps": 3, "names": ["a", "b"]}, path)
    return path


def test_round_trip_and_plain_torch_load(saved):
    assert checkpoint.load(saved)["names"] == ["a", "b"]
    assert torch.equal(torch.load(saved, weights_only=True)["weights"], torch.arange(50.0))
    assert os.listdir(saved.parent) == ["a.ckpt"]  # no temporary file is left


def test_every_flipped_byte_is_noticed(saved):
    good = saved.read_bytes()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1
        saved.write_bytes(bad)
        with pytest.raises(checkpoint.CorruptCheckpoint, match=r"a\.ckpt"):
            checkpoint.load(saved)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_truncation_is_noticed(saved, kept):
    good = saved.read_bytes()
    saved.write_bytes(good[: int(kept * len(good)) if kept < 1 else kept])
    with pytest.raises(checkpoint.CorruptCheckpoint, match="truncated"):
        checkpoint.load(saved)


def test_a_failed_save_keeps_the_old_file(saved, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save({"steps": 4}, saved)
    assert checkpoint.load(saved)["steps"] == 3


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "evil.ckpt"
    checkpoint.save({"x": Evil()}, path)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        checkpoint.load(path)
    assert not (tmp_path / "executed").exists()
