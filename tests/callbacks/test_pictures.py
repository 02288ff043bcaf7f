"""Pictures of samples: where names go, what stands beside the samples, and that pixels stay as they are."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_overrides import MORE_NETS, NETS

from genexp.callbacks import pictures
from genexp.callbacks.grids import MARGIN, Panel, cut, write_grid
from genexp.callbacks.grids import _font as font
from genexp.callbacks.pictures import conditional_means, label_names, over_time, picture, seen
from genexp.families.capabilities import ConditionalMeans
from genexp.plot_style import broken
from genexp.record.instantiate import instantiate


@pytest.fixture
def panels(monkeypatch):
    """What is written as a grid: (panels, title)."""
    written = []
    monkeypatch.setattr(pictures, "write_grid", lambda panels, levels, title, path: written.append((panels, title)))
    return written


def images(n):
    return torch.arange(n, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4) % 17


def test_labels_in_turn_are_columns_one_label_is_in_the_title_and_others_above_each_image(panels, tmp_path):
    for labels in (["a", "b", "c"] * 3, ["a"] * 9, ["a", "b", "b"] * 3, None):
        assert picture(images(9), 17, tmp_path / "x.png", title="t", labels=labels)
    (turn, title), (one, one_title), (mixed, _), (plain, _) = ((p[0], t) for p, t in panels)
    assert turn.columns == ["a", "b", "c"] and turn.width == 3 and turn.captions is None and title == "t"
    assert one.columns is None and one.captions is None and one_title == "t · label a"
    assert mixed.captions == ["a", "b", "b"] * 3 and mixed.columns is None
    assert plain.columns is None and plain.captions is None and plain.width == 3


def test_a_picture_has_so_many_images_at_most_and_says_of_how_many(panels, tmp_path):
    assert picture(images(pictures.MOST + 5), 17, tmp_path / "x.png", title="t", means=images(pictures.MOST + 5))
    ((samples, means), title) = panels[0]
    assert len(samples.x) == len(means.x) == pictures.MOST and title == f"t · the first {pictures.MOST} of 405"
    assert samples.name == "samples" and means.name == "means of p(x|z), of the same z"
    assert picture(images(3), 17, tmp_path / "x.png", title="t", total=50_000) and panels[1][1].endswith("of 50,000")


def test_what_has_no_picture(tmp_path):
    assert not picture(torch.zeros(3, 10, dtype=torch.uint8), 2, tmp_path / "x.png", title="")
    assert not over_time({0: torch.zeros(3, 10), 5: torch.zeros(3, 10)}, 2, tmp_path / "x.png", title="", labels=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [{0: torch.randn(5, 2)}, {0: torch.randn(5, 2), 7: torch.full((5, 2), torch.nan)}])
def test_points_of_the_plane_also_where_some_are_not_finite(tmp_path, rows):
    assert over_time(rows, None, tmp_path / "x.png", title="a $title", labels=None)
    assert picture(rows[0], None, tmp_path / "y.png", title="a_title")
    with Image.open(tmp_path / "x.png") as found:
        assert found.width > 400


def test_the_same_draws_over_time_are_rows(panels, tmp_path):
    assert over_time({4000: images(2) + 1, 0: images(2)}, 17, tmp_path / "x.png", title="t", labels=["a", "b"])
    ((panel,), _) = panels[0]
    assert panel.rows == ["0 seen", "4,000 seen"] and panel.columns == ["a", "b"] and panel.width == 2
    assert torch.equal(panel.x, torch.cat([images(2), images(2) + 1]))


def test_names_of_labels_and_what_was_seen():
    class Data:
        shape, levels, sample_rate = (1, 8, 8), 17, None

    y = torch.tensor([1, 0])
    assert label_names(y, None) == ["1", "0"] and label_names(y, ["cat", "dog"]) == ["dog", "cat"]
    assert label_names(None, ["cat", "dog"]) is None and seen(12000, Data) == "12,000 images seen"
    Data.shape, Data.sample_rate = (50,), 8000
    assert seen(1, Data) == "1 clips seen"
    Data.sample_rate = None
    assert seen(1, Data) == "1 examples seen"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [["a", "b"], ["an automobile of many words", "b"], None])
def test_pixels_are_enlarged_and_nothing_else(tmp_path, channels, names):
    """Whatever stands in the margin; two panels stand side by side, their images on the same lines."""
    x = torch.randint(256, (4, channels, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    panels = [Panel(x=x, width=2, columns=names, name="one"), Panel(x=255 - x, width=2, rows=["r", "s" * 99], block=1)]
    write_grid(panels, 256, " · ".join(["a title"] * 30), tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as found:
        array = np.asarray(found.convert("RGB"))
    right, bottom = array.shape[1] - MARGIN, array.shape[0] - MARGIN
    for panel in panels:
        image = panel.x[3].expand(3, -1, -1).permute(1, 2, 0).numpy().repeat(2, 0).repeat(2, 1)
        places = np.argwhere((array[: bottom - 63, : right - 63] == image[0, 0]).all(2))
        assert any((array[y : y + 64, x : x + 64] == image).all() for y, x in places)
    assert (array[:MARGIN] == 255).all() and (array[:, :MARGIN] == 255).all() and (array[:, right:] == 255).all()
    assert array.shape[1] < 2000


def test_titles_are_broken_between_their_parts_and_names_cut():
    assert broken("one · two · three", 1, len) == ["one", "two", "three"]
    assert broken("one · two · three", 9, len) == ["one · two", "three"]
    assert cut("short", font(12)) == "short" and cut("x" * 500, font(12)).endswith("x…")
    assert font(12).getlength(cut("x" * 500, font(12), 50)) <= 50


@pytest.mark.parametrize("model", ["vae", *MORE_NETS])
def test_means_are_of_the_same_draws(compose_train, model):
    """As many random numbers are drawn as without them, in the same order."""
    nets = {**NETS, **MORE_NETS}[model]
    config = compose_train(f"model={model}", "data=digits", "data.levels=2" if model == "nothing" else "seed=0", *nets)
    built = instantiate(config, "model", []).eval()
    torch.manual_seed(0)
    expected = built.sample(3)
    torch.manual_seed(0)
    x, means = conditional_means(built, 3, None)
    assert torch.equal(x, expected)
    if built.unfit(ConditionalMeans) is not None:
        assert model == "pixel_vae" and means is None
        return
    assert means.shape == x.shape and means.is_floating_point() and 0 <= means.min() and means.max() <= 16
    assert conditional_means(built, 3, None, temperature=0.0)[1] is None  # they are the samples
