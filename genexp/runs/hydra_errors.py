"""What is wrong with a command, in one line, with the nearest valid name."""

import os
import re
from collections.abc import Iterator
from typing import Any

from genexp.record.errors import ConfigError, edits, most_similar, nearest
from genexp.record.instantiate import CONFIG_DIR
from genexp.runs.foreign_keys import OPTIONS as FOREIGN_OPTIONS
from genexp.runs.foreign_keys import answer
from genexp.runs.trainer_arguments import FREE, REFUSED

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
        keys = _keys(name, verb, arguments)
        if known := foreign(name, arguments, keys, verb):
            return known
        if "." not in name and name not in NOT_CHOSEN and (options := _options(name)):
            return f"{name}: a config is chosen here by its name: {', '.join(options)}"
        group, _, key = name.partition(".")
        if key and any(a.startswith(f"{group}=") and "," in a for a in arguments):
            return (
                f"{name} is not in the config of every {group} that this sweep could choose; if it is in those that it does: "
                f"++{name}=..."
            )
        added = f" (+{name}=... adds a new key)" if "." in name else ""
        return f"{name} is not in the config of genexp {verb}.{_nearest_key(name, keys)}{added}"
    if missing := re.search(r"Could not find '([^']*)'|In '[^']*': Could not (?:find|load) '([^']*)'", text):
        name = missing.group(1) or missing.group(2)
        if name in EXTRAS:
            return f"{name.rpartition('/')[0]}={name.rpartition('/')[2]} needs pip install 'genexp[{EXTRAS[name]}]'"
        if name in FOREIGN_OPTIONS:
            return f"there is no config '{name}': {FOREIGN_OPTIONS[name]}"
        available = re.findall(r"^\t(\S+)$", text, re.MULTILINE) or _options(name.rpartition("/")[0])
        options = f" Available: {', '.join(available)}." if available else ""
        return f"there is no config '{name}'.{nearest(name.rsplit('/', 1)[-1], available)}{options}"
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    return " ".join(text.split())


def no_option(arguments: list[str]) -> str | None:
    """One line for a config group that is set to what Hydra's grammar takes for no text, as in ``debug=true``; None if no word
    does that."""
    for word in arguments:
        group, _, value = word.lstrip("+").partition("=")
        if not group.startswith("-") and (options := _options(group)) and value not in options:
            return f"{group}={value}: must be one of {', '.join(options)}"
    return None


def _options(group: str) -> list[str]:
    """Names of the configs in a group of genexp; empty where there is no such group."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_module("genexp.conf", version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def foreign(name: str, arguments: list[str], keys: list[str], verb: str = "train") -> str | None:
    """What a key of another framework is here, with the value that the command gives it; None if nothing is known."""
    given = [a.partition("=")[2] for a in arguments if a.lstrip("+").partition("=")[0] == name]
    if name.startswith("trainer.") and (use := REFUSED.get(name.removeprefix("trainer."))):
        return f"{name}: not a setting of a run; {use}"
    if name.removeprefix("trainer.") in FREE and name not in keys and name.startswith("trainer."):
        return f"{name} is for Lightning's trainer, and not in this config: +{name}={given[-1] if given else '...'}"
    return answer(name, given[-1] if given else None, keys, verb)


def _keys(name: str, verb: str, arguments: list[str]) -> list[str]:
    """The groups and keys of the verb's config, with the groups that were chosen; for a name with / in it, the groups."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    GlobalHydra.instance().clear()
    chosen = []
    if own := os.environ.get(CONFIG_DIR):
        chosen.append(f"hydra.searchpath=[file://{own}]")
    of_hydra = name.startswith("hydr")
    with initialize_config_module("genexp.conf", version_base="1.3"):
        groups = list(_groups(GlobalHydra.instance().config_loader()))
        if "/" in name:
            return groups
        for word in arguments:
            group, _, option = word.lstrip("+").partition("=")
            if group in groups and option not in ("", "null") and "," not in option:
                chosen.append(f"{group}={option}")
        try:
            config = compose(verb, overrides=chosen, return_hydra_config=of_hydra)
        except HydraException:
            config = compose(verb, return_hydra_config=of_hydra)
    keys: list[str] = [group for group in groups if "/" not in group and group not in NOT_CHOSEN]

    def collect(node: Any, path: str) -> None:
        for key in node if isinstance(node, DictConfig) and not node._is_interpolation() else ():
            keys.append(f"{path}.{key}" if path else str(key))
            collect(node._get_node(key), keys[-1])

    collect(config, "")
    return keys


def _nearest_key(name: str, keys: list[str]) -> str:
    """`` Did you mean ...?`` with the key or group most like ``name``."""
    if "/" in name:
        return nearest(name, keys)
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
