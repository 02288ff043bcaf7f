"""Interpolations in the config of a run folder, which somebody else may have made: they look up keys of the config, and the
places that genexp keeps data in; nothing else of this machine is read for them."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

HARMLESS = re.compile(
    r"""\$\{ (?: [\w.\[\]]+                                                   # a key of the config
               | oc\.select:[\w.\[\], ]*
               | oc\.env:GENEXP_(?:DATA|CACHE)(?:,(?:"[^"$]*"|[^",{}$]*))?    # where data lie, and what is kept of them
            ) \}""",
    re.VERBOSE,
)
ESCAPED = re.compile(r"(\\*)\$\{")


def with_recorded(config: DictConfig, resolved: Any) -> DictConfig:
    """The config with the recorded value in place of every interpolation that is not :data:`HARMLESS`, such as one of another
    environment variable.

    Args:
        config: as a run folder holds it.
        resolved: its resolved form, from the same folder, plain; it is taken literally.
    """
    return OmegaConf.create(_replaced(OmegaConf.to_container(config), resolved))


def _replaced(node: Any, recorded: Any) -> Any:
    if isinstance(node, dict):
        inner = recorded if isinstance(recorded, dict) else {}
        return {key: _replaced(value, inner.get(key)) for key, value in node.items()}
    if isinstance(node, list):
        inner = recorded if isinstance(recorded, list) else []
        return [_replaced(value, inner[i] if i < len(inner) else None) for i, value in enumerate(node)]
    if isinstance(node, str) and "${" in HARMLESS.sub("", node):
        return literal(recorded)
    return node


def literal(node: Any) -> Any:
    """A resolved node of plain containers in which no text is an interpolation any more."""
    if isinstance(node, dict):
        return {name: literal(value) for name, value in node.items()}
    if isinstance(node, list):
        return [literal(value) for value in node]
    return ESCAPED.sub(r"\1\1\\${", node) if isinstance(node, str) else node
