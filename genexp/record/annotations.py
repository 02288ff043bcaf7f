"""Values of a config against the annotations of arguments, as they stand in the source."""

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

from genexp.record.errors import ConfigError, nearest, shown
from genexp.record.signatures import Parameter, near, options, resolve
from genexp.record.sources import Definition, Module

WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
TEXT = ("str", "Path", "PathLike", "LiteralString")
LISTS = ("Sequence", "list", "List", "tuple", "Tuple", "Iterable", "Collection", "set", "Set")
MAPPINGS = ("Mapping", "dict", "Dict", "MutableMapping")
LARGEST = 2**63
"""Whole numbers are below it, since 64 bits hold them."""


def check_type(parameter: Parameter, value: Any, key: str) -> None:
    """Refuse a value that the annotation of an argument does not allow; of a node with ``_target_`` only whether there may be one.

    Args:
        parameter: the argument.
        value: plain.
        key: of the value.

    Raises:
        ConfigError: naming the key, the value and the rule.
    """
    alternatives = list(options(parameter.annotation, parameter.module))
    if not alternatives:
        return
    if isinstance(value, Mapping) and "_target_" in value:
        if all(_plain(o, m) and _name(o) not in MAPPINGS for o, m in alternatives):
            raise ConfigError(f"{key}={shown(value)}: must be {_rule(alternatives)}, and no object")
        return
    if not any(_fits(value, option, module) for option, module in alternatives):
        key, value, alternatives = _innermost(key, value, alternatives)
        words = [str(o.value) for option, _ in alternatives if _name(option) == "Literal" for o in _inside(option)]
        hint = nearest(value, words) if isinstance(value, str) else ""
        raise ConfigError(f"{key}={shown(value)}: must be {_rule(alternatives)}{'.' * bool(hint)}{hint}")


def _innermost(
    key: str, value: Any, alternatives: list[tuple[ast.expr, Module]]
) -> tuple[str, Any, list[tuple[ast.expr, Module]]]:
    """What does not fit in a value that does not: an entry of a mapping, where one is allowed and given."""
    for option, module in alternatives if isinstance(value, Mapping) else ():
        if _name(option) in MAPPINGS and len(_inside(option)) == 2:
            rule = list(options(_inside(option)[1], module))
            for name, item in value.items():
                if not any(_fits(item, o, m) for o, m in rule):
                    return f"{key}.{name}", item, rule
    return key, value, alternatives


def _name(option: ast.expr) -> str:
    """The last word of an annotation without what stands in its brackets."""
    expression = option.value if isinstance(option, ast.Subscript) else option
    if isinstance(expression, ast.Constant):
        return "None" if expression.value is None else ""
    return ast.unparse(expression).rpartition(".")[2]


def _inside(option: ast.expr) -> list[ast.expr]:
    if not isinstance(option, ast.Subscript):
        return []
    return list(option.slice.elts) if isinstance(option.slice, ast.Tuple) else [option.slice]


def _plain(option: ast.expr, module: Module) -> bool:
    """Whether an annotation stands for values that a config writes without ``_target_``."""
    return _name(option) in (*WORDS, *TEXT, *LISTS, *MAPPINGS, "None", "Literal")


def _fits(value: Any, option: ast.expr, module: Module) -> bool:
    name, inside = _name(option), _inside(option)
    if name == "None":
        return value is None
    if name == "bool":
        return isinstance(value, bool)
    if name == "int":
        return isinstance(value, int) and not isinstance(value, bool) and -LARGEST <= value < LARGEST
    if name == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)
    if name in TEXT:
        return isinstance(value, str)
    if name == "Literal":
        return any(type(value) is type(o.value) and value == o.value for o in inside if isinstance(o, ast.Constant))
    if name in LISTS:
        return isinstance(value, list) and _items_fit(value, inside, module, is_tuple=name.lower() == "tuple")
    if name in MAPPINGS:
        if not isinstance(value, Mapping):
            return False
        rule = list(options(inside[1], module)) if len(inside) == 2 else []
        return not rule or all(any(_fits(item, o, m) for o, m in rule) for item in value.values())
    if name == "Callable":
        return isinstance(value, Mapping) and "_target_" in value
    if _is_class(option, module):
        return isinstance(value, Mapping) and "_target_" in value
    return True  # Any, a type variable, something that cannot be read


def _is_class(option: ast.expr, module: Module) -> bool:
    """Whether an annotation names a class. That of another package is known by its capital, and not looked for."""
    if near(option, module):
        there = resolve(option, module)
        return isinstance(there, Definition) and isinstance(there.node, ast.ClassDef)
    name = _name(option)
    return name not in ("Any", "Self") and name[:1].isupper() and not name.isupper()


def _items_fit(value: list[Any], inside: list[ast.expr], module: Module, *, is_tuple: bool) -> bool:
    if not inside:
        return True
    if is_tuple and not (len(inside) == 2 and isinstance(inside[1], ast.Constant) and inside[1].value is ...):
        if len(value) != len(inside):
            return False
        pairs = zip(value, inside, strict=True)
    else:
        pairs = ((item, inside[0]) for item in value)
    return all(any(_fits(item, o, m) for o, m in options(rule, module)) for item, rule in pairs)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _rule(alternatives: Sequence[tuple[ast.expr, Module]]) -> str:
    plain = [(option, module) for option, module in alternatives if _plain(option, module)]
    several = any(_name(option) != "None" for option, _ in plain)  # Tensor | float: the number is what a config can say
    shown_ones = plain if several else alternatives
    rules = list(dict.fromkeys(_words(option, module) for option, module in shown_ones))
    return ", or ".join(sorted(rules, key=lambda rule: rule == "null"))


def _words(option: ast.expr, module: Module) -> str:
    """An annotation in words."""
    name, inside = _name(option), _inside(option)
    if name == "None":
        return "null"
    if name in WORDS:
        return WORDS[name]
    if name in TEXT:
        return WORDS["str"]
    if name == "Literal":
        return "one of " + ", ".join(shown(o.value) for o in inside if isinstance(o, ast.Constant))
    if name in LISTS:
        if name.lower() == "tuple" and len(inside) > 1 and not isinstance(inside[1], ast.Constant):
            return f"[{', '.join(_rule(list(options(rule, module))) for rule in inside)}]"
        return f"a list of {_many(inside[0], module)}" if inside else "a list"
    if name in MAPPINGS:
        is_any = len(inside) < 2 or ast.unparse(inside[1]) in ("Any", "object")
        return "a mapping" if is_any else f"a mapping of names to {_many(inside[1], module)}"
    return (
        f"an object: {{_target_: ...}} of {name}"
        if name != "Callable"
        else "a function: {_target_: ..., _partial_: true}"
    )


def _many(option: ast.expr, module: Module) -> str:
    several = {"a whole number": "whole numbers", "a number": "numbers", "true or false": "switches", "text": "texts"}
    rule = _rule(list(options(option, module)))
    return several.get(rule, f"what is each {rule}" if rule else "values")
