"""``genexp sample complete=...``: what is kept stays, the rest is drawn, and wrong requests are one line."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from genexp.callbacks.grids import MARGIN, SPACE
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.runs.progress_bars import shown
from genexp.runs.sampling.completion import part_of, rows


def test_the_parts_of_an_image():
    for part, kept in {
        "top": np.s_[:, :1, :],
        "bottom": np.s_[:, 1:, :],
        "left": np.s_[:, :, :2],
        "right": np.s_[:, :, 2:],
    }.items():
        expected = torch.zeros(2, 3, 4, dtype=torch.bool)
        expected[kept] = True
        assert torch.equal(part_of((2, 3, 4), part), expected)
    first = part_of((2, 3, 4), 0.5)
    assert first[:, :1].all() and first[:, 1, :2].all() and first.sum() == 12
    assert part_of((10,), 0.25).tolist() == [True] * 2 + [False] * 8  # round to even
    for shape, part, words in (((1, 1, 4), "top", "none"), ((8,), 0.01, "none"), ((8,), 0.99, "all")):
        with pytest.raises(ConfigError, match=f"complete={part}: this is {words} of"):
            part_of(shape, part)


def test_rows_of_a_picture():
    x = torch.tensor([[[[0, 1]]], [[[1, 1]]]], dtype=torch.uint8)
    drawn = torch.zeros(2, 1, 1, 1, 2, dtype=torch.uint8)
    found = rows(x, torch.tensor([[[True, False]]]), drawn, levels=2)
    assert found[:, 0, 0].tolist() == [[0, 255], [0, 128], [0, 0], [255, 255], [255, 128], [0, 0]]


def test_completions_of_a_run(genexp, finished):
    finished("gated_pixelcnn", "name=a", "model.conditional=true", "metrics=nll")
    request = ["sample", "run=outputs/a", "n=5", "draws=2", "complete=top"]
    code, out, err = genexp(*request)
    assert code == 0, err
    name = "outputs/a/samples/complete-top-test-best-seed0-n5-draws2"
    assert out.count("wrote") == 5 and "does not look at" not in out
    data = instantiate(RunFolder("outputs/a").config(), "data", [])
    x, y = (part[:5].numpy() for part in data.tensors("test"))
    drawn, examples = np.load(f"{name}.npy"), np.load(f"{name}-examples.npy")
    assert (examples == x).all() and (np.load(f"{name}-labels.npy") == y).all()
    assert drawn.shape == (5, 2, 1, 8, 8) and drawn.dtype == np.uint8
    assert (drawn[:, :, :, :4] == x[:, None, :, :4]).all()
    assert (drawn[:, 0, :, 4:] != drawn[:, 1, :, 4:]).any() and (drawn[:, :, :, 4:] != x[:, None, :, 4:]).any()
    with Image.open(f"{name}.png") as grid:
        left, top = grid.width - MARGIN - 4 * (64 + SPACE), grid.height - MARGIN - 5 * (64 + SPACE)
        assert left > MARGIN and top > MARGIN
        assert grid.getpixel((left + 64 + SPACE + 5, top + 45)) == (128,) * 3  # the lower half of what was given

    genexp(*request, "output=again")
    assert (np.load("again.npy") == drawn).all()
    genexp(*request, "output=other", "seed=1")
    assert (np.load("other.npy") != drawn).any()
    genexp(*request, "output=zeros", "y=0")
    assert (np.load("zeros-labels.npy") == 0).all() and (np.load("zeros.npy") != drawn).any()

    code, out, err = genexp(*request[:-1], "complete=right", "split=validation", "output=right/0.5", "draws=1")
    assert code == 0 and "32 of the 32 dimensions kept come after missing ones" in out, err
    x = data.tensors("validation")[0][:5].numpy()
    assert (np.load("right/0.5.npy")[:, 0, :, :, 4:] == x[..., 4:]).all()
    code, out, err = genexp(*request[:-1], "complete=left", "+knobs.temperature=0.5")
    assert code == 0 and "28 of the 32 dimensions kept" in out, err

    for wrong, message in {
        "complete=topp": "complete=topp: must be top, bottom, left, right, or a fraction",
        "complete=1": "complete=1: must be",
        "complete=-0.5": "complete=-0.5: must be",
        "complete=true": "complete=true: must be",
        "split=tset": "Did you mean 'test'?",
        "draws=0": "draws=0",
        "n=1000": "n=1000: the split test of digits has 250 examples",
        "y=10": "y=10: must be one label, or a list of n=5, in [0, 9]",
        "y=[1,2]": "y=[1, 2]",
        "+knobs.temprature=2": "knobs.temprature: completion with Autoregressive has the knobs temperature",
        "+knobs.temperature=-1": "temperature=-1",
    }.items():
        code, _, err = genexp(*request, wrong)
        assert code == 2 and message in err and err.count("\n") == 1, (wrong, err)


def test_a_family_that_cannot_complete(genexp, finished):
    finished("vae", "name=a", "metrics=bound", "metrics.bound.ks=[1]")
    code, _, err = genexp("sample", "run=outputs/a", "complete=top")
    assert code == 2 and "complete=top: needs Completion, which VAE does not provide" in err
    assert err.count("\n") == 1 and not list(genexp.folder.glob("outputs/a/samples/complete*"))


def test_halves_are_of_images():
    with pytest.raises(ConfigError, match=r"complete=top: .* data\.shape=\[180\]; give a fraction"):
        part_of((180,), "top")


def test_what_comes_late_in_any_order_is_told(compose_train):
    config = compose_train("model=made", "data=digits", "model.network.random_order=true", "model.network.num_masks=3")
    config.model.ensemble = 2
    model = instantiate(config, "model", [])
    late = torch.zeros(64, dtype=torch.bool)
    given = part_of(model.shape, "top").flatten()
    for order in (0, 1):
        missing = False
        for d in model.network.permutation(order).tolist():
            missing |= not given[d]
            late[d] |= missing and given[d]
    assert torch.equal(model.overlooked(given.view(1, 8, 8)).flatten(), late) and late.sum() > 10


def test_bars_show_the_loops_of_a_model_on_a_terminal_only(compose_train):
    model = instantiate(compose_train("model=made", "data=digits"), "model", [])
    for terminal, quiet in ((True, False), (False, False), (True, True)):
        written = io.StringIO()
        console = Console(file=written, force_terminal=terminal, quiet=quiet, width=80)
        with shown(model, console):
            assert list(model.track(range(5), "sampling")) == list(range(5))
            model.context.doing("3 of 9")
            for step in model.track(iter(range(4)), "sampling", total=4):
                assert list(model.track(range(2), "inside")) == [0, 1] and step < 4
            model.context.note("noted")
        assert list(model.track(range(3), "nobody looks")) == [0, 1, 2]
        assert ("3 of 9" in written.getvalue()) == (terminal and not quiet)
        assert ("noted" in written.getvalue()) == (not quiet)


def test_requests_are_checked_before_anything_is_loaded(genexp):
    code, _, err = genexp("sample", "run=nothing", "complete=middle")
    assert code == 2 and "complete=middle" in err
