"""What is wrong with a command, in one line, with the nearest valid name."""

import os
import re
from collections.abc import Iterator
from typing import Any

from genexp.record.errors import ConfigError, edits, most_similar, nearest
from genexp.record.instantiate import CONFIG_DIR

NOT_CHOSEN = ("parts", "hydra")
"""Groups of which nothing is chosen."""

EXTRAS = {
    f"hydra/launcher/{launcher}": extra
    for launcher, extra in (("joblib", "joblib"), ("submitit_local", "submitit"), ("submitit_slurm", "submitit"))
}
"""Configs that come with an optional package."""


def one_line(error: Exception) -> str:
    """An error in one line; what is not the user's input is named by its type too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ConfigError) else f"{type(error).__name__}: {text}"


def explain(error: Exception, verb: str, arguments: list[str]) -> str:
    """One line for what Hydra found wrong with the overrides or the config files, with the nearest valid name."""
    from hydra.errors import OverrideParseException

    text = str(error)
    cause = error.__cause__
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: {text.splitlines()[0]}; quote what the shell or Hydra would take apart: 'key=\"a b\"'"
        )
    if unknown := re.search(r"Could not override '([^']*)'", text):
        name = unknown.group(1)
        if "." not in name and name not in NOT_CHOSEN and (options := _options(name)):
            return f"{name}: a config is chosen here by its name: {', '.join(options)}"
        group, _, key = name.partition(".")
        if key and any(a.startswith(f"{group}=") and "," in a for a in arguments):
            return (
                f"{name} is not in the config of every {group} that this sweep could choose; if it is in those that it does: "
                f"++{name}=..."
            )
        return f"{name} is not in the config of genexp {verb}.{_nearest_key(name, verb, arguments)} (+{name}=... adds a new key)"
    if missing := re.search(r"Could not find '([^']*)'|In '[^']*': Could not (?:find|load) '([^']*)'", text):
        name = missing.group(1) or missing.group(2)
        if name in EXTRAS:
            return f"{name.rpartition('/')[0]}={name.rpartition('/')[2]} needs pip install 'genexp[{EXTRAS[name]}]'"
        available = re.findall(r"^\t(\S+)$", text, re.MULTILINE) or _options(name.rpartition("/")[0])
        options = f" Available: {', '.join(available)}." if available else ""
        return f"there is no config '{name}'.{nearest(name.rsplit('/', 1)[-1], available)}{options}"
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    return " ".join(text.split())


def _options(group: str) -> list[str]:
    """Names of the configs in a group of genexp; empty where there is no such group."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_module("genexp.conf", version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def _nearest_key(name: str, verb: str, arguments: list[str]) -> str:
    """`` Did you mean ...?`` with the key or group of the verb's config, with the groups that were chosen, most like ``name``."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    GlobalHydra.instance().clear()
    chosen = [a for a in arguments if "=" in a and "." not in a.split("=")[0] and name not in a and "," not in a]
    if own := os.environ.get(CONFIG_DIR):
        chosen.append(f"hydra.searchpath=[file://{own}]")
    of_hydra = name.startswith("hydr")
    with initialize_config_module("genexp.conf", version_base="1.3"):
        groups = list(_groups(GlobalHydra.instance().config_loader()))
        if "/" in name:
            return nearest(name, groups)
        try:
            config = compose(verb, overrides=chosen, return_hydra_config=of_hydra)
        except HydraException:
            config = compose(verb, return_hydra_config=of_hydra)
    keys: list[str] = [group for group in groups if "/" not in group and group not in NOT_CHOSEN]

    def collect(node: Any, path: str) -> None:
        for key in node if isinstance(node, DictConfig) else ():
            keys.append(f"{path}.{key}" if path else str(key))
            collect(node._get_node(key), keys[-1])

    collect(config, "")
    if (close := most_similar(name, keys)) and edits(name, close) <= 2:
        return f" Did you mean '{close}'?"
    last = name.rpartition(".")[2]
    same = [key for key in keys if edits(last, key.rpartition(".")[2]) <= max(1, len(last) // 4)]
    return nearest(name, same or keys)


def _groups(loader: Any, parent: str = "") -> Iterator[str]:
    """Names of the config groups, nested ones too."""
    for group in loader.list_groups(parent):
        path = f"{parent}/{group}" if parent else group
        yield path
        if path.count("/") < 2:
            yield from _groups(loader, path)
