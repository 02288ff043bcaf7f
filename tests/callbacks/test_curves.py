"""The panels of ``curves.png``, read from the figure before it is written."""

import pytest
from matplotlib.figure import Figure

from genexp.callbacks.curves import draw_curves


@pytest.fixture
def panels(tmp_path, monkeypatch):
    """Draws a history ``{metric: values}`` with reference lines; the axes by title."""
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path: drawn.append(self))

    def draw(history, lines):
        rows = [f"{100 * i},0,0,0,{metric},{v}" for metric, values in history.items() for i, v in enumerate(values)]
        (tmp_path / "metrics.csv").write_text("images,step,epoch,seconds,metric,value\n" + "\n".join(rows) + "\n")
        about = {"title": "a run", "units": {"loss": "nats"}, "lines": lines}
        assert draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png", **about)
        return {axes.get_title(): axes for axes in drawn[-1].axes}

    return draw


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (-1.5, (-2.05, -0.95)),  # within the range
        (-0.75, (-2.0625, -0.6875)),  # near it
        (-2.5, (-2.575, -0.925)),
        (-0.4, None),  # far from it
        (-2.6, None),
    ],
)
def test_a_reference_line_is_drawn_where_it_is_near(panels, value, limits):
    found = panels({"train/value": [9.0, -1.0, -2.0], "val/value": [-1.2]}, {"value": (value, "optimum"), "x": (0, "")})
    (axes,) = found.values()
    labels = axes.get_legend_handles_labels()[1]
    if limits is None:
        assert labels == ["training", "validation"] and axes.get_ylim() == pytest.approx((-2.05, -0.95))
    else:
        assert labels == ["training", "validation", "optimum"] and axes.get_ylim() == pytest.approx(limits)
        line = axes.lines[-1]
        assert list(line.get_ydata()) == [value, value] and line.get_linestyle() == "--"


def test_a_quantity_without_a_line_is_left_alone(panels):
    found = panels({"train/value": [9.0, 0.0, 1.0], "train/loss": [9.0, 0.0, 1.0]}, {"value": (0.5, "optimum")})
    assert len(found["value"].lines) == 2 and len(found["loss"].lines) == 1
    assert found["loss"].get_ylabel() == "nats" and found["value"].get_ylabel() == ""


def test_what_never_changes_has_no_panel_but_a_word_and_the_legend_is_beside_the_panels(panels):
    found = panels({"train/a": [1.0, 2.0], "val/a": [3.0], "train/lr": [0.001] * 3, "val/once": [7.0]}, {})
    assert list(found) == ["a"]
    figure = found["a"].figure
    assert figure.get_suptitle() == "a run" and figure.get_supxlabel() == "constant: lr 0.001, once 7"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]
    assert found["a"].get_legend() is None


def test_a_range_of_decades_is_logarithmic(panels):
    found = panels({"train/a": [1000.0, 100.0, 0.5], "train/b": [10.0, 5.0, 4.0]}, {})
    assert [found[name].get_yscale() for name in "ab"] == ["log", "linear"]


def test_a_training_that_did_not_begin_has_no_curves(tmp_path):
    assert not draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png", title="", units={}, lines={})
    assert list(tmp_path.iterdir()) == []
