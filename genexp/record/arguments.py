"""The arguments in a config against what the constructors declare: names, types and the ranges that can be read, before anything
heavy is imported."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp.record.annotations import check_type
from genexp.record.errors import ConfigError, nearest, shown
from genexp.record.guards import refusal
from genexp.record.signatures import Parameter, Signature, given_by, signature
from genexp.record.sources import misspelt

OF_HYDRA = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def check_arguments(config: DictConfig, key: str) -> None:
    """Refuse what the node ``key`` of a composed config, or a node below it, gives its target and the target does not take: a
    misspelt or missing argument, a value of another type or outside the range that the constructor checks.

    Args:
        config: composed; interpolations can be resolved.
        key: dotted, of a node; one that is not there or has no ``_target_`` is left alone.

    Raises:
        ConfigError: naming the full key, the value and the rule.
    """
    node = OmegaConf.select(config, key)
    if isinstance(node, DictConfig):
        check_node(OmegaConf.to_container(node, resolve=True), key)


def check_spelling(node: Any, key: str = "") -> None:
    """Refuse a ``_target_`` that names nothing, with the nearest name that does; what may be named is another question.

    Args:
        node: resolved.
        key: of the node; empty for the whole config.

    Raises:
        ConfigError: naming the key and the target.
    """
    for where, target in _named(node, key, "_target_"):
        where = where.removeprefix(".")
        if not isinstance(target, str) or "." not in target:
            raise ConfigError(f"{where}={shown(target)}: must be the dotted name of a class")
        if reason := misspelt(target):
            raise ConfigError(f"{where}={shown(target)}: {reason}")


def check_node(node: Any, key: str, given: tuple[int, frozenset[str]] = (0, frozenset())) -> None:
    """As :func:`check_arguments`, of a resolved node.

    Args:
        node: plain containers.
        key: of the node.
        given: what its owner gives it beside: how many positional arguments, and the names of the others.
    """
    if isinstance(node, list):
        for i, item in enumerate(node):
            check_node(item, f"{key}[{i}]")
        return
    if not isinstance(node, Mapping):
        return
    if "_target_" not in node:
        for name, item in node.items():
            check_node(item, f"{key}.{name}")
        return
    target = node["_target_"]
    if not isinstance(node.get("_partial_", False), bool):
        raise ConfigError(f"{key}._partial_={shown(node['_partial_'])}: must be true or false")
    found = signature(str(target))
    values = {str(name): value for name, value in node.items() if name not in OF_HYDRA}
    if found is None:
        for name, item in values.items():
            check_node(item, f"{key}.{name}")
        return
    _check_names(found, node, values, key, given)
    for name, value in values.items():
        check_value(found.parameters.get(name), value, f"{key}.{name}")
    refused = refusal(found, values)
    if refused is not None:
        raise ConfigError(located(str(refused), key, values, refused.name))


def located(text: str, key: str, values: Mapping[str, Any], name: str | None = None) -> str:
    """What a constructor says, with the full key of the argument it says it of.

    Args:
        text: of the error; it may begin with ``name=value: ``.
        key: of the node.
        values: the arguments in it.
        name: of the argument, if the text does not begin with it.
    """
    own = text.partition("=")[0]
    if own.split("[")[0] in values:
        return f"{key}.{text}"
    if name is not None and "=" not in text.partition(":")[0] and name in values:
        return f"{key}.{name}={shown(values[name])}: {text}"
    return text if "." in own and own.replace(".", "").replace("_", "").isalnum() else f"{key}: {text}"


def with_key(text: str, key: str, node: Any) -> str:
    """What was said when a node became an object, with the full key of the value that it is about.

    Args:
        text: of the error; it may begin with ``name=value: ``, as constructors say it.
        key: of the node.
        node: resolved.
    """
    name, _, value = text.partition(": ")[0].partition("=")
    if not value:
        return f"{key}: {text}"
    if "." in name and name.replace(".", "").replace("_", "").isalnum():
        return text  # it is the full key already
    found = [path for path, leaf in _named(node, key, name) if value in (shown(leaf), str(leaf))]
    return f"{found[0]}={text.partition('=')[2]}" if len(found) == 1 else f"{key}: {text}"


def _named(node: Any, key: str, name: str) -> Iterator[tuple[str, Any]]:
    """Every ``(key, value)`` of that name in a node and below."""
    if isinstance(node, Mapping):
        for part, item in node.items():
            if part == name:
                yield f"{key}.{part}", item
            yield from _named(item, f"{key}.{part}", name)
    elif isinstance(node, list):
        for i, item in enumerate(node):
            yield from _named(item, f"{key}[{i}]", name)


def _check_names(
    found: Signature, node: Mapping[str, Any], values: Mapping[str, Any], key: str, given: tuple[int, frozenset[str]]
) -> None:
    positional, named = given
    names = list(found.parameters)
    taken = {*names[:positional], *named}
    for name, value in values.items():
        if name in taken and name in named | set(names[:positional]):
            raise ConfigError(f"{key}.{name}={shown(value)}: {found.name} is given {name} by the model; leave it out")
        if name not in found.parameters and not found.takes_any:
            known = [n for n in names if n not in taken]
            takes = f"it takes {', '.join(known)}" if known else "it takes no settings"
            raise ConfigError(
                f"{key}.{name}={shown(value)}: {found.name} has no such argument; {takes}.{nearest(name, known)}"
            )
    is_factory = node.get("_partial_", False)
    if (is_factory and given == (0, frozenset())) or "_args_" in node:
        return  # whoever calls it may add anything
    if not is_factory:
        taken = set()
    if missing := [n for n, p in found.parameters.items() if p.required and n not in values and n not in taken]:
        if not is_factory and set(missing) <= {*names[:positional], *named} and given != (0, frozenset()):
            raise ConfigError(
                f"{key}._partial_={shown(is_factory)}: must be true, since the model adds {', '.join(missing)}"
            )
        raise ConfigError(f"{key}.{missing[0]} is missing: {found.name} needs it")


def check_value(parameter: Parameter | None, value: Any, key: str) -> None:
    """Refuse a value that the annotation of an argument does not allow, and look into nodes.

    Args:
        parameter: None if nothing is known of it.
        value: plain.
        key: of the value.

    Raises:
        ConfigError: naming the key, the value and the rule.
    """
    given = None
    if parameter is not None:
        check_type(parameter, value, key)
        if isinstance(value, Mapping) and "_target_" in value:
            given = given_by(parameter.annotation, parameter.module)
    check_node(value, key, given or (0, frozenset()))
