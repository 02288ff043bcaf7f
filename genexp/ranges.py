"""Ranges of arguments: one error for a value outside, with its name, the value and the rule. NaN is in no range."""

from typing import Any


def at_least(least: float, *, hint: str = "", **values: Any) -> None:
    """Refuse values below ``least``, which itself is allowed.

    Args:
        least: the smallest value allowed.
        hint: what else is right, e.g. ``, or null for all``.
        values: by the name of the argument.

    Raises:
        ValueError: naming the first that is too small.
    """
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name}={value}: must be at least {least}{hint}")


def positive(*, hint: str = "", **values: Any) -> None:
    """Refuse values that are not above 0; arguments as of :func:`at_least`."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}={value}: must be positive{hint}")


def inside(low: float, high: float, *, ends: str = "()", hint: str = "", **values: Any) -> None:
    """Refuse values outside the interval from ``low`` to ``high``.

    Args:
        low, high: where it begins and ends.
        ends: a bracket for each, as the interval is written: ``(`` and ``)`` if it is not allowed itself, ``[`` and ``]`` if it
            is.
        hint, values: see :func:`at_least`.
    """
    first, last = ends
    for name, value in values.items():
        if not (low < value < high or (value == low and first == "[") or (value == high and last == "]")):
            raise ValueError(f"{name}={value}: must be in {first}{low}, {high}{last}{hint}")
