"""A run or sweep without a name gets one that nobody else has."""

import multiprocessing
import os
import re

import pytest

from genexp.sweeps.default_name import claim

SMALL = ["data=digits", "training.max_images=100", "dry_run=true", "hydra.sweeper.probe=false"]


def race(folder, start, found):
    start.wait()
    found.put(os.path.basename(claim(folder)))


def test_folders_that_are_claimed_at_the_same_time_differ(tmp_path):
    context = multiprocessing.get_context("fork")
    start, found = context.Event(), context.Queue()
    processes = [context.Process(target=race, args=(tmp_path / "outputs/x", start, found)) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    names = {found.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert names == {"x", "x-2", "x-3", "x-4", "x-5", "x-6"} == set(os.listdir(tmp_path / "outputs"))


@pytest.fixture
def planned(genexp, monkeypatch):
    """Where the runs of a command would go; nothing is trained, and the second stands still."""
    monkeypatch.setattr("genexp.sweeps.estimate.measure", lambda configs, environment: ["not now"] * len(configs))
    monkeypatch.setattr("hydra.core.utils.datetime", Frozen)

    def call(*arguments):
        code, out, err = genexp("train", *arguments, *SMALL)
        assert code == 0, err
        return out

    call.folder = genexp.folder / "outputs"
    return call


class Frozen:
    @staticmethod
    def now():
        import datetime

        return datetime.datetime(2026, 1, 31, 12, 0, 0)


def test_the_default_name_counts_on_where_it_is_taken(planned):
    assert re.search(r"1  20260131-120000-vae-digits  run", planned("model=vae"))
    assert not planned.folder.exists()  # only a plan
    (planned.folder / "20260131-120000-vae-digits").mkdir(parents=True)
    (planned.folder / "20260131-120000-vae-digits-2").mkdir()
    assert re.search(r"1  20260131-120000-vae-digits-3  run", planned("model=vae"))
    assert re.search(r"1  x-120000  run", planned("name='x-${now:%H%M%S}'"))
    assert re.search(r"1  mine  run", planned("name=mine"))
    assert len(os.listdir(planned.folder)) == 2


def test_the_default_name_of_a_sweep_too(planned, monkeypatch):
    groups = []
    from genexp.sweeps import sweeper

    monkeypatch.setattr(
        sweeper, "look_up", lambda jobs, folder, resume: groups.append((folder.name, jobs[0].config["name"]))
    )
    planned("-m", "seed=0,1")
    (planned.folder / "20260131-120000-sweep").mkdir(parents=True)
    planned("-m", "seed=0,1")
    planned("sweep=seeds")
    planned("-m", "seed=0,1", "name=mine")
    assert groups == [
        ("20260131-120000-sweep", "seed_0"),
        ("20260131-120000-sweep-2", "seed_0"),
        ("20260131-120000-seeds", "seed_0"),
        ("mine", "seed_0"),
    ]
    assert os.listdir(planned.folder) == ["20260131-120000-sweep"]


def test_a_refused_command_leaves_no_folder(genexp):
    code, _, err = genexp("train", "data=digits", "training.max_images=0")
    assert code == 2 and "training.max_images=0" in err
    code, _, err = genexp("train", "-m", "data=digits", "seed=one,two")
    assert code == 2 and "seed=one" in err
    assert not any((genexp.folder / "outputs").glob("*"))
