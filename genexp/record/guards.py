"""What a constructor would refuse at its beginning, found by reading it: its own checks are evaluated on the values of a config,
as far as they only compare them.

So a rule stands in one place, the constructor, and a value outside it is refused before PyTorch is imported. Whatever cannot be
evaluated here is left to the constructor.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from genexp import ranges
from genexp.record.signatures import Signature, near, resolve
from genexp.record.sources import Definition, Module

COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
FUNCTIONS = {f.__name__: f for f in (len, min, max, set, list, tuple, dict, sorted, sum, abs, any, all, round, range)}
TYPES = {t.__name__: t for t in (int, float, str, bool, list, tuple, dict)}
RANGES = {f"genexp.ranges.{f.__name__}": f for f in (ranges.at_least, ranges.positive, ranges.inside)}
DEPTH = 3
"""Functions within functions that are looked into."""
LONGEST = 1_000


class Unknown(Exception):
    """An expression that is not evaluated here."""


class Refused(Exception):
    """A constructor would raise ValueError with this text.

    Attributes:
        name: of the argument that its condition asks about, or None.
    """

    def __init__(self, text: str, name: str | None) -> None:
        super().__init__(text)
        self.name = name


def refusal(signature: Signature, values: Mapping[str, Any]) -> Refused | None:
    """What the constructor, and those of its bases, would say to arguments of plain values; None if nothing, as far as can be
    read."""
    for step in signature.steps:
        known = {name: value for name, value in values.items() if name not in step.hidden}
        try:
            _walk(step.definition, known, 0)
        except Refused as refused:
            return refused
        except (Unknown, RecursionError):
            continue
    return None


def _walk(definition: Definition, values: Mapping[str, Any], depth: int) -> None:
    known = _constants(definition) | values
    _block(definition.node.body, known, definition.module, depth)


def _constants(definition: Definition) -> dict[str, Any]:
    """Values of the plain constants of modules that a function names."""
    found: dict[str, Any] = {}
    for node in ast.walk(definition.node):
        if isinstance(node, ast.Name) and node.id.isupper() and near(node, definition.module):
            there = resolve(node, definition.module)
            if isinstance(there, Definition) and isinstance(there.node, ast.expr):
                with suppress(Unknown):
                    found[node.id] = _value(there.node, {})
    return found


def _block(body: list[ast.stmt], values: dict[str, Any], module: Module, depth: int) -> bool:
    """Follow statements, in which ``values`` change; whether they return.

    Raises:
        Refused: they raise.
    """
    for statement in body:
        if isinstance(statement, ast.Return):
            return True
        if isinstance(statement, ast.Raise):
            raise Refused(_message(statement, values), None)
        if isinstance(statement, ast.If):
            try:
                holds = bool(_value(statement.test, values))
            except Unknown:
                _forget(statement, values)
                continue
            try:
                if _block(statement.body if holds else statement.orelse, values, module, depth):
                    return True
            except Refused as refused:
                named = [n.id for n in ast.walk(statement.test) if isinstance(n, ast.Name) and n.id in values]
                raise Refused(str(refused), refused.name or (named[0] if named else None)) from None
        elif isinstance(statement, ast.For):
            _loop(statement, values, module, depth)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
            if isinstance(statement.value, ast.Call):
                _call(statement.value, values, module, depth)
            _bind(statement, values)
        else:
            _forget(statement, values)
    return False


def _loop(statement: ast.For, values: dict[str, Any], module: Module, depth: int) -> None:
    try:
        items = list(_value(statement.iter, values))[:LONGEST]
    except (Unknown, TypeError):
        _forget(statement, values)
        return
    for item in items:
        try:
            _assign(statement.target, item, values)
        except Unknown:
            break
        _block(statement.body, values, module, depth)
    _forget(statement, values)


def _call(call: ast.Call, values: dict[str, Any], module: Module, depth: int) -> None:
    """Look into a call of a helper: one of :mod:`genexp.ranges`, or one whose source is there."""
    there = resolve(call.func, module) if near(call.func, module) else None
    if not isinstance(there, Definition) or not isinstance(there.node, ast.FunctionDef) or depth >= DEPTH:
        return
    given: dict[str, Any] = {}
    names = [a.arg for a in [*there.node.args.posonlyargs, *there.node.args.args]]
    pairs = [*zip(names, call.args, strict=False), *((k.arg, k.value) for k in call.keywords)]
    for name, expression in pairs:
        try:
            if name is None:
                given |= _value(expression, values)
            else:
                given[name] = _value(expression, values)
        except (Unknown, TypeError):
            continue
    check = RANGES.get(there.key)
    if check is None:
        _walk(there, given, depth + 1)
        return
    bounds = {name: given.pop(name) for name in (*names, "hint", "ends") if name in given}
    for name, value in given.items():
        try:
            check(**bounds, **{name: value})
        except ValueError as error:
            raise Refused(str(error), name) from None
        except TypeError:
            continue


def _bind(statement: ast.Assign | ast.AnnAssign | ast.Expr, values: dict[str, Any]) -> None:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    for target in targets:
        if isinstance(target, ast.Name | ast.Tuple):
            try:
                _assign(target, _value(statement.value, values), values)
            except Unknown:
                _forget(statement, values)


def _assign(target: ast.expr, value: Any, values: dict[str, Any]) -> None:
    if isinstance(target, ast.Name):
        values[target.id] = value
    elif isinstance(target, ast.Tuple) and isinstance(value, list | tuple) and len(value) == len(target.elts):
        for part, item in zip(target.elts, value, strict=True):
            _assign(part, item, values)
    else:
        raise Unknown


def _forget(statement: ast.stmt, values: dict[str, Any]) -> None:
    """Values that a statement may have changed are not known any more."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            values.pop(node.id, None)


def _message(statement: ast.Raise, values: Mapping[str, Any]) -> str:
    call = statement.exc
    if not isinstance(call, ast.Call) or ast.unparse(call.func) not in ("ValueError", "TypeError", "ConfigError"):
        raise Unknown  # no refusal, or NotImplementedError and the like: as the constructor has it
    return " ".join(str(_value(call.args[0], values)).split()) if call.args else "is refused"


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """Of an expression that only looks at plain values.

    Raises:
        Unknown: of any other.
    """
    try:
        return _evaluate(node, values)
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Unknown from error


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in values:
            return values[node.id]
        case ast.Tuple() | ast.List():
            return [_evaluate(item, values) for item in node.elts]
        case ast.Dict() if None not in node.keys:
            return {_evaluate(k, values): _evaluate(v, values) for k, v in zip(node.keys, node.values, strict=True)}
        case ast.UnaryOp(op=ast.Not()):
            return not _evaluate(node.operand, values)
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluate(node.operand, values)
        case ast.BoolOp():
            for part in node.values:
                value = _evaluate(part, values)
                if bool(value) is isinstance(node.op, ast.Or):
                    break
            return value
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            sides = [_evaluate(side, values) for side in (node.left, node.right)]
            if all(isinstance(side, int | float) for side in sides):
                return ARITHMETIC[type(node.op)](*sides)
        case ast.Compare():
            left = _evaluate(node.left, values)
            for op, right_node in zip(node.ops, node.comparators, strict=True):
                right = _evaluate(right_node, values)
                if not COMPARISONS[type(op)](left, right):
                    return False
                left = right
            return True
        case ast.IfExp():
            return _evaluate(node.body if _evaluate(node.test, values) else node.orelse, values)
        case ast.Subscript():
            return _evaluate(node.value, values)[_evaluate(node.slice, values)]
        case ast.GeneratorExp() | ast.ListComp() if len(node.generators) == 1:
            return _comprehension(node, values)
        case ast.JoinedStr():
            parts = (p.value if isinstance(p, ast.FormattedValue) else p for p in node.values)
            return "".join(str(_evaluate(part, values)) for part in parts)
        case ast.Call(func=ast.Name(id="isinstance"), args=[thing, kind]):
            return isinstance(_evaluate(thing, values), _types(kind))
        case ast.Call(func=ast.Attribute(attr="values" | "keys" | "items" as view), args=[]):
            mapping = _evaluate(node.func.value, values)
            if isinstance(mapping, dict):
                return list(getattr(mapping, view)())
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS and not node.keywords:
            return FUNCTIONS[name](*(_evaluate(argument, values) for argument in node.args))
    raise Unknown


def _comprehension(node: ast.GeneratorExp | ast.ListComp, values: Mapping[str, Any]) -> list[Any]:
    generator = node.generators[0]
    found = []
    for item in list(_evaluate(generator.iter, values))[:LONGEST]:
        inner = dict(values)
        _assign(generator.target, item, inner)
        if all(_evaluate(condition, inner) for condition in generator.ifs):
            found.append(_evaluate(node.elt, inner))
    return found


def _types(node: ast.expr) -> tuple[type, ...]:
    """Of the second argument of ``isinstance``; a class that is none of Python's own holds no value of a config."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    if isinstance(node, ast.BinOp):
        return _types(node.left) + _types(node.right)
    return tuple(TYPES[part.id] for part in parts if isinstance(part, ast.Name) and part.id in TYPES)
