"""Ranges of arguments: one error for a value outside, with its name, the value and the rule. NaN is in no range. Of a list, each
number must be in it."""

from collections.abc import Callable, Sequence
from typing import Any


def at_least(least: float, *, hint: str = "", **values: Any) -> None:
    """Refuse values below ``least``, which itself is allowed.

    Args:
        least: the smallest value allowed.
        hint: what else is right, e.g. ``, or null for all``.
        values: by the name of the argument: a number, or a list of them.

    Raises:
        ValueError: naming the first that is too small.
    """
    _check(lambda value: value >= least, f"must be at least {least}{hint}", values)


def positive(*, hint: str = "", **values: Any) -> None:
    """Refuse values that are not above 0; arguments as of :func:`at_least`."""
    _check(lambda value: value > 0, f"must be positive{hint}", values)


def inside(low: float, high: float, *, ends: str = "()", hint: str = "", **values: Any) -> None:
    """Refuse values outside the interval from ``low`` to ``high``.

    Args:
        low, high: where it begins and ends.
        ends: a bracket for each, as the interval is written: ``(`` and ``)`` if it is not allowed itself, ``[`` and ``]`` if it
            is.
        hint, values: see :func:`at_least`.
    """
    first, last = ends

    def is_inside(value: float) -> bool:
        return low < value < high or (value == low and first == "[") or (value == high and last == "]")

    _check(is_inside, f"must be in {first}{low}, {high}{last}{hint}", values)


def _check(is_allowed: Callable[[Any], bool], rule: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if not all(is_allowed(item) for item in (value if is_list else [value])):
            raise ValueError(f"{name}={list(value) if is_list else value}: {rule}{' each' if is_list else ''}")
