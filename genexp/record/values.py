"""A number with all that is needed to compare it; its key is derived from the fields here, and nobody parses it back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["exact", "bound", "estimate"]
Direction = Literal["min", "max"]
UNITS = {"nats": "nats", "bits/dim": "bpd", "": ""}
"""Of a value, and how keys write them."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """One number with its kind and its protocol.

    Args:
        quantity: what it is a value of, e.g. ``nll``, ``fid``, ``active_units``.
        split: ``train``, ``validation`` or ``test``.
        unit: ``nats``, ``bits/dim``, or "" for a pure number.
        kind: ``exact``, ``bound`` or ``estimate``.
        settings: what of its protocol the key names, in that order: ``estimator`` (of an estimate, e.g. ``ais``), ``k`` draws,
            ``extractor``, ``n`` samples, ``steps``, ``of``; plain strings and numbers.
        value: the number.
        direction: ``min`` if smaller is better, ``max`` if larger is; None where neither is.
        n: number of examples it was computed on.
        stderr: standard error of ``value``, in the same unit; None where there is none.
        protocol: everything two values must share before they may be compared (data set, split, binarisation, extractor and
            its hash, number of samples, ...); plain strings and numbers.
        by_class: the same value on the examples of each label alone, by label: ``value``, ``stderr`` and ``n``; None where
            there are no labels.
        parts: the terms whose sum ``value`` is, by name: ``value`` and ``stderr``; None where it is no such sum.
    """

    quantity: str
    split: str
    unit: str
    kind: Kind
    value: float
    direction: Direction | None
    n: int
    stderr: float | None
    protocol: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    by_class: dict[str, dict[str, Any]] | None = None
    parts: dict[str, dict[str, Any]] | None = None

    @property
    def key(self) -> str:
        """``<split>/<quantity>``, kind, unit and settings, e.g. ``test/nll_bound_bpd_k5000`` or ``test/fid_inception_10k``."""
        return "_".join([f"{self.split}/{self.quantity}", *words(self.kind, self.unit, self.settings)])

    def record(self) -> dict[str, Any]:
        """As a plain dictionary, for ``metrics.json``: the key and the fields."""
        return {"key": self.key, **asdict(self)}


def words(kind: str, unit: str, settings: Mapping[str, Any]) -> list[str]:
    """What stands behind the quantity in a key."""
    ways = ["bound"] if kind == "bound" else []
    ways += [settings["estimator"]] if "estimator" in settings else []
    others = [_setting(name, value) for name, value in settings.items() if name != "estimator"]
    return [*ways, *([UNITS[unit]] if UNITS[unit] else []), *others]


def _setting(name: str, value: Any) -> str:
    """``k50`` draws; ``10k``, ``500`` samples; all else as it is."""
    if name == "n":
        return f"{value // 1000}k" if value % 1000 == 0 else str(value)
    return f"k{value}" if name == "k" else str(value)


def is_nll(record: Mapping[str, Any]) -> bool:
    """Whether a record is a negative log-likelihood of the model: exact, bounded or estimated."""
    return record["quantity"] == "nll"
