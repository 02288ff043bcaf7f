"""Small files of a run folder: what is read, and how damage is told."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record.test_folder import RECORD

from genexp.record.small_files import (
    DamagedFile,
    read_config,
    read_history,
    read_mapping,
    read_overrides,
    read_records,
    read_status,
)

HEADER = "images,step,epoch,seconds,metric,value\n"
ROW = "50,1,0,0.5,train/loss,1.25\n"
STATUS = {"state": "done", "updated": "2026-01-01T00:00:00+0000", "versions": {"genexp": "0.2.0"}}
CONFIG = "name: a\nmodel:\n  _target_: x.Y\n  width: 3\ndata:\n  _target_: x.Z\ntraining:\n  max_images: 5\n"
BOMB = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [{','.join([f'*b{i - 1}' if i else '*a'] * 9)}]\n" for i in range(9))


def file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(read, path):
    with pytest.raises(DamagedFile) as error:
        read(path)
    text = str(error.value)
    assert str(path) in text and "\n" not in text and len(text) < 400
    return text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("\0\xff", "is no"),
        (b"\xff\xfe\x00", "is no text"),
        ("{", "is no JSON"),
        ("[]", "a list"),
        ("3", "holds 3"),
        ("null", "holds null"),
        ("{}", "lacks state"),
        ("[" * 100_000, "is no JSON"),
        ("1" * 5000, "is no JSON"),
        (json.dumps(STATUS | {"state": 3}), "state is 3, must be text"),
        (json.dumps(STATUS | {"versions": []}), "versions is a list"),
        (json.dumps(STATUS | {"versions": {"genexp": "x"}}), "versions is"),
        (json.dumps(STATUS | {"minutes": float("nan")}), "minutes is nan"),
        (json.dumps(STATUS | {"wandb": "x"}), "wandb is 'x'"),
        (json.dumps(STATUS | {"resumed": 1}), "resumed is 1"),
    ],
    ids=range(16),
)
def test_a_damaged_status(tmp_path, content, expected):
    assert expected in told(read_status, file(tmp_path, "status.json", content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{}", "instead of a list"),
        ("[1]", "value 1 is 1, must be entries"),
        (json.dumps([RECORD, {**RECORD, "value": "x"}]), "value 2: value is 'x', must be a number"),
        (json.dumps([{**RECORD, "value": None}]), "value is null"),
        (json.dumps([{**RECORD, "value": True}]), "value is true"),
        (json.dumps([{**RECORD, "unit": "furlongs"}]), "unit is 'furlongs', must be one of nats, bits/dim"),
        (json.dumps([{**RECORD, "direction": []}]), "direction is a list"),
        (json.dumps([{**RECORD, "settings": {"k": "x"}}]), "k and n whole numbers"),
        (json.dumps([{**RECORD, "protocol": 3}]), "protocol is 3"),
        (json.dumps([{k: v for k, v in RECORD.items() if k != "n"}]), "lacks n"),
        (json.dumps([{k: v for k, v in RECORD.items() if k != "stderr"}]), "lacks stderr"),
        (json.dumps([{**RECORD, "by_class": {"0": 3}}]), "by_class is"),
    ],
    ids=range(12),
)
def test_damaged_values(tmp_path, content, expected):
    assert expected in told(read_records, file(tmp_path, "metrics.json", content))


def test_a_value_may_be_no_number(tmp_path):
    (record,) = read_records(file(tmp_path, "metrics.json", json.dumps([{**RECORD, "value": float("nan")}])))
    assert record["value"] != record["value"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "does not begin with images,step"),
        (ROW + ROW, "does not begin"),
        (HEADER + "x,1,0,0.5,train/loss,1\n" + ROW, "line 2"),
        (HEADER + ROW + "50,1\n" + ROW, "line 3"),
        (HEADER + ROW.replace("1.25", "one") + ROW, "line 2"),
        (HEADER + '50,"1\n' + ROW, "line"),
    ],
    ids=range(6),
)
def test_a_damaged_history(tmp_path, content, expected):
    assert expected in told(read_history, file(tmp_path, "metrics.csv", content))


@given(cut=st.integers(0, 3 * len(ROW)), rows=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_history_that_was_cut_off_keeps_its_whole_rows(tmp_path_factory, cut, rows):
    text = (HEADER + ROW * rows)[: max(len(HEADER), len(HEADER) + len(ROW) * rows - cut)]
    found = read_history(file(tmp_path_factory.mktemp("h"), "metrics.csv", text))
    assert len(found) == (len(text) - len(HEADER)) // len(ROW)
    assert all(
        row == {"images": "50", "step": "1", "epoch": "0", "seconds": "0.5", "metric": "train/loss", "value": "1.25"}
        for row in found
    )


def test_a_last_line_of_zeros_is_left_out(tmp_path):
    """As a file system may leave it after a power cut."""
    assert len(read_history(file(tmp_path, "metrics.csv", HEADER + ROW + "\0" * 40))) == 1
    assert len(read_history(file(tmp_path, "metrics.csv", HEADER + ROW + "\0" * 40 + "\n"))) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("[]", "a list"),
        ("a: [", "expected"),
        (b"\xff\xfe", "is no text"),
        ("3: 4", "a key that is no text"),
        (CONFIG.replace("model:", "moddel:"), "model is null"),
        (CONFIG.replace("  _target_: x.Y\n", ""), "model._target_ is null, must be text"),
        (CONFIG.replace("name: a", "name: [a]"), "name is a list"),
        (CONFIG.replace("max_images", "max_steps"), "lacks training.max_images"),
        (BOMB, "aliases"),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_damaged_config(tmp_path, content, expected):
    file(tmp_path, "resolved.yaml", CONFIG)
    assert expected in told(read_config, file(tmp_path, "config.yaml", content))


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        for read in (read_status, read_records, read_history, read_config, read_mapping, read_overrides):
            assert "is no file" in told(read, tmp_path / name)
    for read in (read_config, read_mapping, read_overrides):
        assert "is missing" in told(read, tmp_path / "nothing")
    assert read_status(tmp_path / "nothing") == {} and read_records(tmp_path / "nothing") == []
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in told(read_status, tmp_path / "loop")


def test_overrides(tmp_path):
    assert read_overrides(file(tmp_path, "a", "- model=made\n")) == ["model=made"]
    assert read_overrides(file(tmp_path, "a", "[]\n")) == []
    for content in ("{}", "- 3", "- [a]", ""):
        told(read_overrides, file(tmp_path, "a", content))
