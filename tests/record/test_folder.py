"""A run folder: who owns it, what it holds, what was damaged, which values are current. Nothing is trained."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genexp.record import folder as folder_module
from genexp.record import owner
from genexp.record.errors import ConfigError
from genexp.record.folder import FolderInUse, RunFolder
from genexp.record.provenance import naming, write_atomically
from genexp.record.small_files import DamagedFile


@pytest.fixture
def run(tmp_path):
    """A folder whose run says that it goes on, in this process."""
    run = RunFolder(tmp_path / "a")
    run.path.mkdir()
    run.set_status("running", owner=owner.this_process())
    return run


def ended():
    """What :func:`genexp.record.owner.this_process` says in a process that has ended since."""
    script = "import json; from genexp.record.owner import this_process; print(json.dumps(this_process()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_run_whose_process_is_gone_was_killed(run):
    assert run.state() == "running"
    run.set_status("running", owner=ended())
    assert run.state() == "killed" and run.status()["state"] == "running"
    run.set_status("done")
    assert run.state() == "done"


@pytest.mark.parametrize(
    "other",
    [{"started_ticks": 1}, {"boot": "another"}, {"pid": 2**22 + 1}, {"pid": "x"}, {"started_ticks": None}],
    ids=str,
)
def test_a_process_with_the_same_number_is_not_the_owner(run, other):
    run.set_status("running", owner=owner.this_process() | other)
    assert run.state() == "killed"


def test_a_zombie_owns_nothing():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mine = owner.this_process()
    theirs = mine | {"pid": child.pid, "started_ticks": owner._start(child.pid)}
    assert owner.fate(theirs, 0.0) == "running"
    child.send_signal(signal.SIGKILL)
    while owner._start(child.pid) is not None:
        time.sleep(0.01)
    assert owner.fate(theirs, time.time()) == "killed"
    child.wait()


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"pids": "pid:[1]"}, None], ids=str)
def test_a_process_that_cannot_be_looked_for_is_lost_after_a_silence(run, other):
    run.set_status("running", owner=other and owner.this_process() | other)
    assert run.state() == "running"
    long_ago = time.time() - owner.SILENT_S - 1
    os.utime(run.path / "status.json", (long_ago, long_ago))
    assert run.state() == "lost"
    run.history.write_text("images,step,epoch,seconds,metric,value\n")  # it does write
    assert run.state() == "running"


def test_the_owner_gives_signs_of_life(run, monkeypatch):
    monkeypatch.setattr(owner, "BEAT_S", 0.02)
    status = run.path / "status.json"
    os.utime(status, (0, 0))
    with run.lock():
        end = time.monotonic() + 20
        while status.stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.02)
    os.utime(status, (0, 0))
    time.sleep(0.1)
    assert status.stat().st_mtime == 0  # not after the end


def test_what_a_killed_process_left_unfinished_is_cleared(run, monkeypatch):
    monkeypatch.setattr(folder_module, "environment", lambda *_: {})
    for path in (
        "checkpoints/last.ckpt.tmp",
        "metrics.csv.tmp",
        ".hydra/config.yaml.tmp",
        ".index-abc",
        "checkpoints/last.ckpt",
    ):
        (run.path / path).parent.mkdir(exist_ok=True)
        (run.path / path).touch()
    from omegaconf import OmegaConf

    run.begin(OmegaConf.create({"name": "a"}), [], {})
    left = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    hydra = {f".hydra/{name}.yaml" for name in ("config", "resolved", "overrides", "choices")}
    assert left == {"status.json", "checkpoints/last.ckpt", *hydra} and run.status()["owner"]["pid"] == os.getpid()


def test_a_folder_that_cannot_be_written_or_is_in_use_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/a cannot be written: Not a directory"):
        with RunFolder(tmp_path / "file/a").lock():
            pass
    script = "import sys; from genexp.record.folder import RunFolder\n"
    script += "with RunFolder(sys.argv[1]).lock(): print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    other.stdout.readline()
    with pytest.raises(FolderInUse, match=f"in use by process {other.pid} on "):
        with RunFolder(tmp_path / "b").lock():
            pass
    other.communicate("\n")


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        with naming("/dev/full"), open("/dev/full", "w") as file:
            file.write("x")
            file.flush()
    path = tmp_path / "status.json"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/status\.json'") as told:
        write_atomically(path, "new")
    assert told.value.errno == 28 and path.read_text() == "old" and os.listdir(tmp_path) == ["status.json"]


def test_a_status_that_cannot_be_written_is_written_at_the_end(run, monkeypatch):
    late = []
    monkeypatch.setattr(folder_module.atexit, "register", lambda *call: late.append(call))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        run.settle("failed", error="disk full")
        assert run.status()["state"] == "running"
    ((function, *arguments),) = late
    function(*arguments)
    assert run.status()["state"] == "failed" and run.status()["error"] == "disk full"
    run.settle("done")
    function(*arguments)  # what came after stays
    assert run.status()["state"] == "done" and len(late) == 1


RECORD = {
    "key": "test/nll_nats", "quantity": "nll", "split": "test", "unit": "nats", "kind": "exact", "value": 1.5,
    "direction": "min", "n": 10, "stderr": None, "protocol": {"data": "digits"}, "settings": {}, "checkpoint": "best",
    "ema": False, "images_seen": 100,
}  # fmt: skip


def checkpoint(run, name, digest):
    """A file that ends like a checkpoint."""
    run.checkpoints.mkdir(exist_ok=True)
    (run.checkpoints / f"{name}.ckpt").write_bytes(b"sha256:" + digest.encode() * 64)


def value(key, images, of="best", **fields):
    return {**RECORD, "key": key, "images_seen": images, "checkpoint": of, **fields}


def keys(records):
    return sorted((r["key"], r["images_seen"]) for r in records)


def test_values_of_weights_that_are_gone_stand_apart(run):
    run.config_file.parent.mkdir()
    checkpoint(run, "best", "a")
    run.add_metrics([value("x", 100), value("y", 100)])
    run.add_metrics([value("z", 100)])
    assert keys(run.metrics()) == [("x", 100), ("y", 100), ("z", 100)] and run.stale() == []
    checkpoint(run, "best", "b")  # training went on, nothing is evaluated yet
    assert run.metrics() == [] and len(run.stale()) == 3
    run.add_metrics([value("x", 200)])
    assert keys(run.metrics()) == [("x", 200)] and keys(run.stale()) == [("y", 100), ("z", 100)]
    written = json.loads((run.path / "metrics.json").read_text())
    assert [r.get("stale", False) for r in written] == [False, True, True]
    run.add_metrics([value("y", 200), value("w", 150, of="last")])
    assert keys(run.metrics()) == [("w", 150), ("x", 200), ("y", 200)] and keys(run.stale()) == [("z", 100)]
    checkpoint(run, "best", "a")  # the first weights are back, from a copy
    run.add_metrics([value("x", 100)])
    assert keys(run.metrics()) == [("w", 150), ("x", 100), ("z", 100)]
    assert "stale" not in next(r for r in run.recorded() if r["key"] == "z")


def test_without_checkpoints_the_values_that_came_last_are_current(run):
    run.config_file.parent.mkdir()
    (run.path / "metrics.json").write_text(json.dumps([value("x", 100), value("y", 200)]))
    assert keys(run.metrics()) == [("y", 200)]
    checkpoint(run, "best", "a")  # of an earlier version, that kept no measured.json
    assert keys(run.metrics()) == [("y", 200)]
    for damaged in ("", "[", "[]", '{"best": 3}', '{"best": {"sha256": 1}}'):
        run.config_file.with_name("measured.json").write_text(damaged)
        assert keys(run.metrics()) == [("y", 200)]


TEXT = st.text(max_size=8)


@settings(max_examples=12, deadline=None)
@given(
    records=st.lists(
        st.builds(
            lambda key, images, of, value, n, protocol: {
                **RECORD, "key": key, "images_seen": images, "checkpoint": of, "value": value, "n": n, "protocol": protocol,
            },
            TEXT, st.integers(0, 3), st.sampled_from(["best", "last"]), st.floats(), st.integers(0, 10**9),
            st.dictionaries(TEXT, st.none() | st.integers() | TEXT),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_records_come_back_as_they_were(tmp_path_factory, records):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.config_file.parent.mkdir()
    unlike = list({json.dumps([r["key"], r["protocol"], r["checkpoint"]], sort_keys=True): r for r in records}.values())
    for record in unlike:
        run.add_metrics([record])
    same = [{k: v for k, v in r.items() if k != "stale"} for r in run.recorded()]
    assert sorted(map(json.dumps, same)) == sorted(map(json.dumps, unlike))
    for name in ("best", "last"):
        current = {r["images_seen"] for r in run.metrics() if r["checkpoint"] == name}
        assert len(current) <= 1, "values of different weights side by side"


def test_one_damaged_file_is_named(run):
    (run.path / "status.json").write_text('{"state": "do')
    with pytest.raises(DamagedFile, match=r"a/status\.json is damaged: it is no JSON \(line 1\); delete it"):
        run.state()
