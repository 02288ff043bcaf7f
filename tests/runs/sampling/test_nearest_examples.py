"""``genexp sample neighbours=...``: samples beside their nearest training examples; wrong requests are one line."""

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from genexp.callbacks.grids import MARGIN, SPACE
from genexp.data.toy import Ring, Toy
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.runs.sampling.nearest_examples import neighbours


def test_neighbours_of_samples_of_a_run(genexp, finished):
    finished("vae", "name=a", "metrics=bound", "metrics.bound.ks=[1]", "model.conditional=true")
    code, out, err = genexp("sample", "run=outputs/a", "n=6", "neighbours=3")
    assert code == 0 and out.count("wrote") == 6 and "distance to the nearest training example" in out, err
    name = "outputs/a/samples/neighbours3-best-seed0-n6"
    train = instantiate(RunFolder("outputs/a").config(), "data", []).tensors("train")[0].numpy() / 16
    x, found, distances = (np.load(f"{name}{part}.npy") for part in ("", "-neighbours", "-distances"))
    assert found.shape == (6, 3, 1, 8, 8) and found.dtype == np.uint8 and len(np.load(f"{name}-labels.npy")) == 6
    for sample, near, far in zip(x / 16, found / 16, distances, strict=True):
        rms = np.sqrt(((train - sample) ** 2).mean((1, 2, 3)))
        assert far == pytest.approx(np.sort(rms)[:3])
        assert np.sqrt(((near - sample) ** 2).mean((1, 2, 3))) == pytest.approx(far)
    with Image.open(f"{name}.png") as picture:
        cell = 64 + SPACE
        left, top = picture.width - MARGIN - 4 * cell, picture.height - MARGIN - 6 * cell
        row = np.asarray(picture.convert("L"))[top + 1 : top + 65, left + 1 : left + 1 + 4 * cell]
        row = row.reshape(64, 4, cell)[::8, :, :64:8] / 255
    assert row.swapaxes(0, 1) == pytest.approx(np.concatenate([x[:1], found[0]])[:, 0] / 16, abs=0.01)
    genexp("sample", "run=outputs/a", "n=6", "output=plain")
    assert (np.load("plain.npy") == x).all()
    for wrong, message in {
        "neighbours=1298": "neighbours=1298: digits has 1,297 training examples",
        "y=10": "labels must be in [0, 9]",
    }.items():
        code, _, err = genexp("sample", "run=outputs/a", "n=6", "neighbours=3", wrong)
        assert code == 2 and message in err and err.count("\n") == 1, (wrong, err)


def test_points_of_the_plane_have_neighbours_and_no_picture(tmp_path):
    splits, ring = {"train": 50, "validation": 5, "test": 5}, Ring(count=8, radius=1.0, sigma=0.1)
    sizes = dict(batch_size=8, evaluation_batch_size=8, seed=0, name="ring", shape=[2], levels=None, num_classes=None)
    data = Toy(density=ring, splits=splits, data_seed=0, **sizes)
    x = data.tensors("train")[0][:4] + torch.tensor([1e-6, 0])
    written = neighbours(x, data, 1, tmp_path / "new" / "a", Console(quiet=True), title="")
    assert [path.name for path in written] == ["a-neighbours.npy", "a-distances.npy"]
    assert np.load(written[0])[:, 0] == pytest.approx(x.numpy(), abs=1e-5) and (np.load(written[1]) < 1e-5).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["neighbours=0"], "neighbours=0: must be a whole number of at least 1"),
        (["neighbours=true"], "neighbours=true: must be a whole number"),
        (["neighbours=0.5"], "neighbours=0.5: must be a whole number"),
        (["neighbours=3", "complete=top"], "complete=top neighbours=3: one of them at a time"),
        (["neighbours=3", "latent=traverse"], "latent=traverse neighbours=3: one of them at a time"),
    ],
)
def test_requests_are_checked_before_anything_is_loaded(genexp, wrong, message):
    code, _, err = genexp("sample", "run=nothing", *wrong)
    assert code == 2 and message in err and err.count("\n") == 1, err
