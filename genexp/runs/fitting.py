"""Whether a model can do what a metric asks for, read from their classes' sources: what a class can do is a static fact."""

import ast
from collections.abc import Mapping
from typing import Any

from genexp.record.errors import ConfigError
from genexp.record.signatures import classes, resolve
from genexp.record.sources import Definition, locate
from genexp.runs.metric_options import metric_options


def check_metrics(model: Mapping[str, Any], chosen: Any, group: str) -> None:
    """Refuse metrics that ask for what the model's class does not provide, as far as can be read; the metrics themselves look
    again, and at the data too.

    Args:
        model: the section of a resolved config.
        chosen: the section of the metrics; with ``unfit: skip`` it is left alone.
        group: its name.

    Raises:
        ConfigError: naming the first metric that does not fit, what it needs, and the metrics whose needs are met.
    """
    if not isinstance(chosen, Mapping) or chosen.get("unfit") == "skip":
        return
    for name, metric in chosen.items():
        if isinstance(metric, Mapping) and (reason := lacking(model, metric)):
            fit = [key for key, option in metric_options().items() if lacking(model, option) is None]
            raise ConfigError(
                f"{group}={name}: {reason}; metrics that fit: {', '.join(sorted(fit))} (some only certain data)"
            )


def lacking(model: Mapping[str, Any], metric: Mapping[str, Any]) -> str | None:
    """What a metric needs and a model's class does not provide; None if it does, or if that cannot be read."""
    family, measure = (locate(str(part.get("_target_", ""))) for part in (model, metric))
    if not all(part is not None and isinstance(part.node, ast.ClassDef) for part in (family, measure)):
        return None
    abilities, is_whole = classes(family)
    needed = _required(measure)
    if not needed or any(capability.key in {ability.key for ability in abilities} for capability in needed):
        return None
    if not is_whole and not any(ability.key == "genexp.families.base.GenerativeModule" for ability in abilities):
        return None  # a base that cannot be read
    names = " or ".join(capability.node.name for capability in needed)
    return f"needs {names}, which {family.node.name} does not provide"


def _required(metric: Definition) -> list[Definition]:
    """The capabilities in ``requires`` of a metric's class; empty if they cannot be read."""
    for one in classes(metric)[0]:
        for statement in one.node.body:
            is_it = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "requires"
            if is_it and isinstance(statement.value, ast.Tuple):
                found = [resolve(item, one.module) for item in statement.value.elts]
                return found if all(isinstance(f, Definition) for f in found) else []
    return []
