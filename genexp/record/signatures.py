"""What the constructor of a class, or a function, takes: read from the source, through base classes and ``**keywords``."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from genexp.record.sources import Definition, Module, file_of, locate, look_up


@dataclass(frozen=True)
class Parameter:
    """One argument.

    Attributes:
        name: of it.
        annotation: None without one.
        module: in which the annotation stands.
        required: whether it has no default.
    """

    name: str
    annotation: ast.expr | None
    module: Module
    required: bool


@dataclass(frozen=True)
class Step:
    """One function that gets the arguments on their way: a constructor, then that of its base.

    Attributes:
        definition: the function.
        hidden: names of arguments that are not what the config gives under that name any more.
    """

    definition: Definition
    hidden: frozenset[str]


@dataclass(frozen=True)
class Signature:
    """Of a class or a function.

    Attributes:
        name: of it.
        parameters: by name, in their order.
        takes_any: whether it takes further keywords that cannot be read.
        steps: the functions that get them.
    """

    name: str
    parameters: dict[str, Parameter]
    takes_any: bool = False
    steps: list[Step] = field(default_factory=list)


def classes(definition: Definition) -> tuple[list[Definition], bool]:
    """A class and its bases, in the order in which Python asks them; and whether all of them could be read."""
    found: list[Definition] = []
    is_whole = True

    def visit(one: Definition) -> None:
        nonlocal is_whole
        found.append(one)
        for base in one.node.bases:
            there = resolve(base, one.module) if is_installed(one.module.name) or near(base, one.module) else None
            if isinstance(there, Definition) and isinstance(there.node, ast.ClassDef):
                visit(there)
            elif ast.unparse(base).split("[")[0] not in ("object", "ABC", "Protocol", "Generic", "abc.ABC"):
                is_whole = False

    visit(definition)
    last = {one.key: i for i, one in enumerate(found)}
    return [one for i, one in enumerate(found) if last[one.key] == i], is_whole


def near(expression: ast.expr, module: Module) -> bool:
    """Whether it is known, without reading an installed package, what a name in an annotation stands for. Those are long, and of
    them only a config's own targets are read, with what these inherit from."""
    first = ast.unparse(expression).partition(".")[0].partition("[")[0]
    found = module.names.get(first)
    if isinstance(found, tuple):
        return not is_installed(found[0])
    return found is not None or bool(module.stars)


@cache
def is_installed(name: str) -> bool:
    """Whether a module is Python's own or an installed package, and not genexp or the user's."""
    top = name.split(".")[0]
    if top in sys.stdlib_module_names:
        return True
    path = file_of(top)
    return top != "genexp" and path is not None and not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def resolve(expression: ast.expr, module: Module) -> Definition | Module | None:
    """What a name, dotted or not, stands for in a module."""
    if isinstance(expression, ast.Subscript):
        return resolve(expression.value, module)
    if isinstance(expression, ast.Name):
        return look_up(module, expression.id)
    if isinstance(expression, ast.Attribute):
        inside = resolve(expression.value, module)
        return look_up(inside, expression.attr) if isinstance(inside, Module) else None
    return None


@cache
def signature(target: str) -> Signature | None:
    """Of what a dotted name leads to; None if that cannot be read."""
    definition = locate(target)
    if definition is None:
        return None
    if isinstance(definition.node, ast.FunctionDef):
        return _of_function(definition)
    if isinstance(definition.node, ast.ClassDef):
        return of_class(definition)
    return None


def of_class(definition: Definition) -> Signature:
    """Of the constructor of a class."""
    of_fields = [*definition.node.decorator_list, *definition.node.bases]
    if any(ast.unparse(word).partition("(")[0] in ("dataclass", "BaseModel") for word in of_fields):
        return _of_fields(definition)
    function = method(definition, "__init__")
    if function is not None and function.args.kwarg is None:  # its bases need not be read
        return _of_constructor(definition.node.name, [definition], True)
    return _of_constructor(definition.node.name, *classes(definition))


def _of_constructor(name: str, order: list[Definition], is_whole: bool) -> Signature:
    for i, one in enumerate(order):
        function = method(one, "__init__")
        if function is None and method(one, "__new__") is not None:
            return Signature(name, {}, True)
        if function is None:
            continue
        here = _of_function(Definition(one.module, function), skip=1)
        if not here.takes_any:
            return Signature(name, here.parameters, False, here.steps)
        explicit = _passed_on(function)
        if explicit is None:
            return Signature(name, here.parameters, True, here.steps)
        above = _of_constructor(name, order[i + 1 :], is_whole)
        rest = {n: p for n, p in above.parameters.items() if n not in explicit and n not in here.parameters}
        same = {n for n, value in explicit.items() if isinstance(value, ast.Name) and value.id == n}
        hidden = (explicit.keys() | here.parameters.keys()) - same
        steps = [Step(step.definition, step.hidden | hidden) for step in above.steps]
        return Signature(name, here.parameters | rest, above.takes_any, [*here.steps, *steps])
    return Signature(name, {}, not is_whole)


def method(definition: Definition, name: str) -> ast.FunctionDef | None:
    """That a class defines itself."""
    return next((n for n in definition.node.body if isinstance(n, ast.FunctionDef) and n.name == name), None)


def _passed_on(function: ast.FunctionDef) -> dict[str, ast.expr] | None:
    """The keywords that ``super().__init__(..., **keywords)`` gives beside those it passes on; None if it passes none on."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            passed = [k for k in node.keywords if k.arg is None and isinstance(k.value, ast.Name)]
            if function.args.kwarg is not None and any(k.value.id == function.args.kwarg.arg for k in passed):
                return {k.arg: k.value for k in node.keywords if k.arg is not None}
    return None


def _of_function(definition: Definition, skip: int = 0) -> Signature:
    """Of a function, without its first ``skip`` arguments."""
    arguments = definition.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))[skip:]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters = {a.arg: Parameter(a.arg, a.annotation, definition.module, d is None) for a, d in pairs}
    steps = [Step(definition, frozenset())]
    return Signature(definition.node.name, parameters, arguments.kwarg is not None, steps)


def _of_fields(definition: Definition) -> Signature:
    """Of a dataclass, or a model of pydantic."""
    own = [n for n in definition.node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    module = definition.module
    parameters = {n.target.id: Parameter(n.target.id, n.annotation, module, n.value is None) for n in own}
    return Signature(definition.node.name, parameters)


def given_by(annotation: ast.expr | None, module: Module) -> tuple[int, frozenset[str]] | None:
    """What the owner of a slot calls a factory with: how many positional arguments, and the names of the others.

    Args:
        annotation: of the slot: a ``Protocol`` with ``__call__``, ``Callable[[...], ...]``, or one of these or None.
        module: in which it stands.

    Returns:
        None if the slot takes no factory, as far as can be read.
    """
    for option in options(annotation, module):
        text = ast.unparse(option[0])
        if isinstance(option[0], ast.Subscript) and text.startswith("Callable["):
            first = option[0].slice.elts[0] if isinstance(option[0].slice, ast.Tuple) else None
            return (len(first.elts), frozenset()) if isinstance(first, ast.List) else None
        there = resolve(option[0], option[1]) if near(*option) else None
        if isinstance(there, Definition) and isinstance(there.node, ast.ClassDef):
            is_protocol = any(ast.unparse(base) == "Protocol" for base in there.node.bases)
            call = method(there, "__call__")
            if is_protocol and call is not None:
                arguments = call.args
                positional = [*arguments.posonlyargs, *arguments.args]
                return len(positional) - 1, frozenset(a.arg for a in arguments.kwonlyargs)
    return None


def options(annotation: ast.expr | None, module: Module, depth: int = 0) -> Iterator[tuple[ast.expr, Module]]:
    """The alternatives of a union, aliases resolved, each with the module in which it stands."""
    if annotation is None or depth > 5:
        return
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        yield from options(annotation.left, module, depth)
        yield from options(annotation.right, module, depth)
        return
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        yield from options(ast.parse(annotation.value, mode="eval").body, module, depth + 1)
        return
    if isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        if name in ("Optional", "Union"):
            parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
            for part in parts:
                yield from options(part, module, depth)
            if name == "Optional":
                yield ast.Constant(None), module
            return
    if isinstance(annotation, ast.Name | ast.Attribute) and near(annotation, module):
        there = resolve(annotation, module)
        if isinstance(there, Definition) and isinstance(there.node, ast.expr):
            yield from options(there.node, there.module, depth + 1)
            return
    yield annotation, module
