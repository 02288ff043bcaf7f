"""Random points, each a function of the sweep's seed and its number."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from genexp.record.errors import ConfigError
from genexp.sweeps.sweeper import PlannedSweeper

DIGITS = 4
"""Significant digits of a number from an interval: as exact as a search needs, and still a name."""


def uniform(seed: int, *parts: str | int) -> float:
    """A number in [0, 1) that is a function of ``seed`` and ``parts`` alone, the same on every machine."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def check_interval(override: Override) -> tuple[float, float, bool]:
    """Ends of an interval, and whether its logarithm is meant.

    Raises:
        ConfigError: it is empty, or a logarithm is asked for of what is not positive.
    """
    interval = override.value()
    assert isinstance(interval, IntervalSweep)
    low, high, is_log = interval.start, interval.end, "log" in interval.tags
    if not low < high or (is_log and low <= 0):
        raise ConfigError(f"{override.input_line}: needs {'0 < ' if is_log else ''}low < high")
    return low, high, is_log


def draw(override: Override, u: float) -> str:
    """The value of one key: uniform over a choice or a range, over an interval, or over the logarithm of an interval with
    the tag ``log``. An interval of integers, ``int(interval(1,8))``, contains both its ends.

    Args:
        override: with several values.
        u: uniform in [0, 1).

    Raises:
        ConfigError: a logarithm is asked for of what is not positive.
    """
    if override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
        return values[int(u * len(values))]
    low, high, is_log = check_interval(override)
    if isinstance(low, int):
        high += 1
    x = math.exp(math.log(low) + u * math.log(high / low)) if is_log else low + u * (high - low)
    return str(math.floor(x) if isinstance(low, int) else float(f"{x:.{DIGITS}g}"))


class RandomSweeper(PlannedSweeper):
    """``n`` points; a key's value in point i depends on (seed, i, key) only, so more points or more keys change none.

    Args:
        n: number of points.
        seed: of the draws; not that of the runs.
        params, probe, plots: see PlannedSweeper.
    """

    def __init__(self, params: Mapping[str, Any], probe: bool, plots: Sequence[str], n: int, seed: int) -> None:
        super().__init__(params, probe, plots)
        self.n, self.seed = n, seed

    def search(self, swept: dict[str, Override]) -> None:
        if not (isinstance(self.n, int) and self.n >= 1):
            raise ConfigError(f"hydra.sweeper.n={self.n}: must be a whole number of at least 1")
        self.run([[f"{k}={draw(o, uniform(self.seed, i, k))}" for k, o in swept.items()] for i in range(self.n)])
