"""Ranges of arguments: what is inside passes, what is outside is named with its rule."""

import math

import pytest

from genexp.ranges import at_least, inside, positive


def test_at_least():
    at_least(1)
    at_least(1, a=1, b=2.5, c=math.inf)
    with pytest.raises(ValueError, match=r"^b=0: must be at least 1$"):
        at_least(1, a=1, b=0, c=-1)  # the first outside is named
    with pytest.raises(ValueError, match=r"^data\.limit=0: must be at least 1, or null for all$"):
        at_least(1, hint=", or null for all", **{"data.limit": 0})


def test_each_number_of_a_list_is_looked_at():
    at_least(1, a=[1, 2], b=(), c=3)
    with pytest.raises(ValueError, match=r"^a=\[1, 0\]: must be at least 1 each$"):
        at_least(1, a=(1, 0))


def test_positive():
    positive(a=1e-300, b=3)
    for value in (0, -0.5):
        with pytest.raises(ValueError, match=rf"^a={value}: must be positive; or leave it out$"):
            positive(hint="; or leave it out", a=value)


@pytest.mark.parametrize("ends", ["()", "[)", "(]", "[]"])
def test_inside(ends):
    inside(0, 2, ends=ends, a=1, b=1e-9)
    refused = [-1, 3, *([] if ends[0] == "[" else [0]), *([] if ends[1] == "]" else [2])]
    for value in (-1, 0, 2, 3):
        if value not in refused:
            inside(0, 2, ends=ends, a=value)
            continue
        with pytest.raises(ValueError) as error:
            inside(0, 2, ends=ends, hint=", or null", a=1, b=value)
        assert str(error.value) == f"b={value}: must be in {ends[0]}0, 2{ends[1]}, or null"


def test_an_interval_is_open_unless_its_ends_say_otherwise():
    with pytest.raises(ValueError, match=r"^a=0: must be in \(0, 1\)$"):
        inside(0, 1, a=0)


@pytest.mark.parametrize(
    "check",
    [
        lambda value: at_least(0, a=value),
        lambda value: positive(a=value),
        lambda value: inside(0, 1, a=value),
        lambda value: inside(0, 1, ends="[]", a=value),
    ],
)
def test_nan_is_in_no_range(check):
    with pytest.raises(ValueError, match=r"^a=nan: must be"):
        check(math.nan)
