"""The data of a recorded run: what it left out, where they are when the run or they have moved, and what of them may change."""

import shutil

import numpy as np
import pytest
from PIL import Image

RUN = ["train", "model=fvsbn", "data=image_folder", "data.root=d", "data.shape=[1,4,4]", "data.levels=2", "name=x"]
RUN += ["data.num_workers=0", "metrics=nll", "samples.n=4", "training.max_images=16", "training.batch_size=8"]


@pytest.fixture
def images(genexp):
    """``d/<split>/<i>.png``: eight to train on, three in the other splits."""
    draws = np.random.default_rng(0)
    for split, n in (("train", 8), ("validation", 3), ("test", 3)):
        folder = genexp.folder / "d" / split
        folder.mkdir(parents=True)
        for i in range(n):
            Image.fromarray(draws.integers(0, 256, (4, 4), dtype=np.uint8)).save(folder / f"{i}.png")
    return genexp.folder / "d"


def test_a_run_finds_its_data_from_elsewhere_or_is_told_where_they_are(genexp, images, monkeypatch):
    code, _, err = genexp(*RUN)
    assert code == 0, err
    assert genexp.json("outputs/x/status.json")["cwd"] == str(genexp.folder)
    run = f"run={genexp.folder}/outputs/x"
    (genexp.folder / "sub").mkdir()
    monkeypatch.chdir(genexp.folder / "sub")
    code, out, err = genexp("evaluate", run, "metrics=nll")
    assert code == 0 and f"data from {images}" in out, err
    images.rename(genexp.folder / "moved")
    code, _, err = genexp("evaluate", run, "metrics=nll")
    assert (
        code == 2 and "data.root='d' is not a folder" in err and "data.root=DIR names" in err and err.count("\n") == 1
    )
    code, _, err = genexp("sample", run, "n=2", "neighbours=1")
    assert code == 2 and "data.root='d' is not a folder" in err and err.count("\n") == 1
    root = "data.root=../moved"
    for command in (["evaluate", run, "metrics=nll", root], ["evaluate", run, "metrics=nll", f"+{root}"]):
        code, out, err = genexp(*command)
        assert code == 0 and "checksums" not in out, err
    code, _, err = genexp("sample", run, "n=2", "neighbours=1", root)
    assert code == 0, err
    code, out, err = genexp("train", run, root, "training.max_images=24")
    assert code == 0 and "continues from 16 images" in out, err
    assert genexp.json("outputs/x/status.json")["cwd"] == str(genexp.folder / "sub")
    monkeypatch.chdir(genexp.folder)
    code, out, err = genexp("evaluate", run, "metrics=nll")  # from the folder in which it was last trained
    assert code == 0 and f"data from {genexp.folder}/sub/../moved" in out, err


def test_data_of_no_folder_have_no_root(finished, genexp):
    finished("made", "name=a", "metrics=nll")
    code, _, err = genexp("evaluate", "run=outputs/a", "metrics=nll", "data.root=d")
    assert code == 2 and "data.root=d: the data of" in err and "are read from no folder" in err and err.count("\n") == 1


def test_only_changed_training_data_stop_a_run(genexp, images):
    assert genexp(*RUN)[0] == 0
    more = ["train", "run=outputs/x", "training.max_images=24"]
    (images / "test" / "0.png").unlink()
    code, out, err = genexp(*more)
    assert code == 0 and "the test data changed since the run began" in out, err
    code, out, _ = genexp("evaluate", "run=outputs/x", "metrics=nll", "split=test")
    assert code == 0 and "checksums" not in out  # the new ones are recorded
    shutil.copy(images / "test" / "1.png", images / "test" / "9.png")
    code, out, _ = genexp("evaluate", "run=outputs/x", "metrics=nll", "split=test")
    assert code == 0 and "the test data are not those that outputs/x recorded" in out
    (images / "train" / "0.png").unlink()
    code, _, err = genexp("train", "run=outputs/x", "training.max_images=32")
    assert code == 2 and "not the data that the run in outputs/x was trained on: the split train has changed" in err


def test_an_unusable_test_image_is_named_before_training(genexp, images):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(images / "test" / "deep.png")
    code, _, err = genexp(*RUN)
    assert (
        code == 2 and "d/test/deep.png cannot be used: its pixels have more than 8 bits" in err and err.count("\n") == 1
    )
    assert not (genexp.folder / "outputs" / "x").exists()


def test_no_home_is_needed(genexp, images, monkeypatch):
    (images / "train" / "a.gif").touch()
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("GENEXP_CACHE")
    fidelity = ["metrics=fidelity", "metrics.fidelity.n=3", "metrics.fidelity.kid_subset_size=2"]
    fidelity += [
        "metrics.fidelity.is_splits=1",
        "metrics.fidelity.prc_neighborhood=1",
        "metrics.fidelity.density_neighborhood=1",
    ]
    code, out, err = genexp(*RUN, *fidelity, "data.shape=[1,8,8]")
    assert code == 0, err
    assert out.count("features of the reference are not kept: ") == 1 and "GENEXP_CACHE names another folder" in out
    assert "1 file of other types (.gif) is not used" in out
