"""Long loops without a terminal."""

import io
from types import SimpleNamespace

from rich.console import Console

from genexp.families.context import Context
from genexp.runs import progress_bars


def lines_of(monkeypatch, every_s, quiet=False):
    """What is printed of loops of a model without a terminal."""
    monkeypatch.setattr(progress_bars, "EVERY_S", every_s)
    model, file = SimpleNamespace(context=Context()), io.StringIO()
    with progress_bars.shown(model, Console(file=file, quiet=quiet)):
        assert list(model.context.track([10, 20], "drawing", total=30, size=int)) == [10, 20]
        model.context.doing("AIS, 1 to 2 of 2")
        assert list(model.context.track(iter("ab"), "steps")) == ["a", "b"]
    assert list(model.context.track([1], "after it")) == [1]
    return file.getvalue().splitlines()


def test_a_line_says_how_far_a_loop_is(monkeypatch):
    assert lines_of(monkeypatch, 0.0) == [
        "  drawing: 10 of 30",
        "  drawing: 30 of 30",
        "  AIS, 1 to 2 of 2: 1",
        "  AIS, 1 to 2 of 2: 2",
    ]


def test_short_loops_and_quiet_ones_say_nothing(monkeypatch):
    assert lines_of(monkeypatch, 60.0) == [] and lines_of(monkeypatch, 0.0, quiet=True) == []
