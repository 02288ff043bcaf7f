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
        assert draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png", lines)
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
        assert labels == ["train", "val"] and axes.get_ylim() == pytest.approx((-2.05, -0.95))
    else:
        assert labels == ["train", "val", "optimum"] and axes.get_ylim() == pytest.approx(limits)
        line = axes.lines[-1]
        assert list(line.get_ydata()) == [value, value] and line.get_linestyle() == "--"


def test_a_quantity_without_a_line_is_left_alone(panels):
    found = panels({"train/value": [9.0, 0.0, 1.0], "train/loss": [9.0, 0.0, 1.0]}, {"value": (0.5, "optimum")})
    assert len(found["value"].lines) == 2 and len(found["loss"].lines) == 1


def test_a_training_that_did_not_begin_has_no_curves(tmp_path):
    assert not draw_curves(tmp_path / "metrics.csv", tmp_path / "curves.png", {})
    assert list(tmp_path.iterdir()) == []
