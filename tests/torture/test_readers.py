"""Readers of files against damaged ones: each a moment in the default run, a minute in the slow one."""

import random

import pytest
from torture.readers import READERS


def check(name, seconds, seed):
    counts = READERS[name](random.Random(seed), seconds)
    assert (counts.unnamed, counts.hung, counts.greedy) == ([], 0, 0)
    assert counts.refused > counts.tried / 3 and counts.refused + counts.accepted == counts.tried


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line_that_names_it(name):
    check(name, 0.5, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_minute_of_damaged_files(name):
    check(name, 60, 1)
