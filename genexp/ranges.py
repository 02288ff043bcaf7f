"""Ranges of arguments: one error for a value outside, with its name, the value and the rule."""

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


def inside(low: float, high: float, *, hint: str = "", **values: Any) -> None:
    """Refuse values outside the open interval (low, high); further arguments as of :func:`at_least`."""
    for name, value in values.items():
        if not low < value < high:
            raise ValueError(f"{name}={value}: must be in ({low}, {high}){hint}")
