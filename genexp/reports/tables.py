"""What a person reads: the table of a run's metrics, and the verdict on a published number."""

import math
import re
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table

ARROWS = {"min": "↓", "max": "↑", None: ""}
"""Of a record's direction, for which values are better."""
WIDTH = 100
"""Columns that the table of a run's metrics takes at most."""


def figure(value: float, stderr: float | None = None) -> str:
    """A number with as many digits as its standard error allows, e.g. ``79.63 ± 0.42``."""
    if stderr is None or not 0 < stderr < math.inf:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    digits = max(0, min(6, 1 - _exponent(stderr)))
    return f"{value:,.{digits}f} ± {stderr:,.{digits}f}"


def _exponent(x: float) -> int:
    return int(f"{x:e}".split("e")[1])


def protocol_text(protocol: dict[str, Any]) -> str:
    """A protocol in one line; checksums shortened."""
    entries = {key: value for key, value in protocol.items() if value is not None}
    return ", ".join(f"{k} {str(v)[:8] if k.endswith('sha256') else v}" for k, v in entries.items())


def common_protocol(protocols: list[dict[str, Any]]) -> dict[str, Any]:
    """The entries that all protocols share."""
    first, *others = protocols
    return {k: v for k, v in first.items() if all(k in other and other[k] == v for other in others)}


def metrics_table(records: list[dict[str, Any]], title: str) -> Group | str:
    """One row per value: key, value with standard error, unit, which values are better, kind and number of examples; below it what
    all protocols share, and once for values that share it what else there is. A line if there is no value."""
    if not records:
        return f"{title}: none of the chosen metrics can be computed on this model and these data"
    table = Table(title=title, title_justify="left")
    for name, settings in (
        ("metric", {"overflow": "fold"}),
        ("value ± s.e.", {"justify": "right", "no_wrap": True}),
        ("unit", {"no_wrap": True}),
        ("better", {"no_wrap": True}),
        ("kind", {"no_wrap": True}),
        ("n", {"justify": "right", "no_wrap": True}),
    ):
        table.add_column(name, **settings)
    for record in records:
        bound = "≤ " if record["kind"] == "bound" and record["direction"] == "min" else ""
        table.add_row(
            record["key"],
            bound + figure(record["value"], record["stderr"]),
            record["unit"],
            {"min": "lower", "max": "higher", None: "-"}[record["direction"]],
            record["kind"],
            f"{record['n']:,}",
        )
    notes = [Constrain(Padding(line, (0, 0, 0, 2), style="dim"), WIDTH) for line in protocol_notes(records)]
    return Group(table, *notes)


def protocol_notes(records: list[dict[str, Any]]) -> list[str]:
    """The protocols of values in a few lines, each entry once: what all share, then what only some have, with their names."""
    protocols: dict[str, set[str]] = {}
    for record in records:
        protocols.setdefault(record["quantity"], set()).add(protocol_text(record["protocol"]))
    named = [(r["quantity"] if len(protocols[r["quantity"]]) == 1 else r["key"], r["protocol"]) for r in records]
    having: dict[tuple[str, str], dict[str, None]] = {}
    for name, protocol in named:
        for entry, value in protocol.items():
            having.setdefault((entry, repr(value)), {})[name] = None
    shared: dict[tuple[str, ...], dict[str, Any]] = {}
    for _, protocol in named:
        for entry, value in protocol.items():
            shared.setdefault(tuple(having[entry, repr(value)]), {})[entry] = value
    everyone = len({name for name, _ in named})
    lines = []
    for names, entries in sorted(shared.items(), key=lambda item: -len(item[0])):
        if text := protocol_text(entries):
            lines.append(f"{'all' if len(names) == everyone else ', '.join(names)}: {text}")
    return lines


HOW = ("root", "num_workers", "log_every_steps", "checkpoint_every_minutes", "compile", "activation_checkpointing")
"""Entries of ``data`` and ``training`` that say how a run is computed, not what is learnt."""


def changed_settings(overrides: Sequence[str]) -> list[str]:
    """Those overrides beside ``experiment=...`` that change what the experiment trains, on what, or for how long."""
    if not any(override.startswith(("experiment=", "+experiment=")) for override in overrides):
        return []
    changed = []
    for override in overrides:
        group, *rest = re.split(r"[./@]", override.lstrip("+~").partition("=")[0])
        if group in ("data", "model", "training") and rest[:1] not in [[name] for name in HOW]:
            changed.append(override)
    return changed


def verdict(published: dict[str, Any], value: float, changed: Sequence[str] = ()) -> tuple[str, str]:
    """Whether a value reproduces a published number.

    Args:
        published: ``value``, ``tolerance`` (in the number's unit), ``verified`` (whether the number was read at its source
            or reproduced elsewhere).
        value: what was measured.
        changed: settings of the run that are not those of the experiment.

    Returns:
        (``PASS``, ``FAIL``, ``CHANGED`` or ``UNVERIFIED``, one line of explanation). PASS means
        |value - published| <= tolerance.
    """
    difference = value - published["value"]
    text = f"published {published['value']:g}, reproduced {value:.4g}, difference {difference:+.2g}"
    if changed:
        return "CHANGED", f"{text}; no verdict, for these are not the published settings: {', '.join(changed)}"
    if not published["verified"]:
        return "UNVERIFIED", f"{text}; the published number itself is not verified, so there is no verdict"
    word = "PASS" if abs(difference) <= published["tolerance"] else "FAIL"
    return word, f"{text}, tolerance {published['tolerance']:g}"
