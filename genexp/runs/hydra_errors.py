"""What is wrong with a command, in one line, with the nearest valid name."""

import re
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from genexp.record.errors import ConfigError, nearest

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
        available = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        options = f" Available: {', '.join(available)}." if available else ""
        return f"there is no config '{name}'.{nearest(name.rsplit('/', 1)[-1], available)}{options}"
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    return " ".join(text.split())


def _nearest_key(name: str, verb: str, arguments: list[str]) -> str:
    """The key or group of the verb's config, with the groups that were chosen, that looks most like ``name``."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    GlobalHydra.instance().clear()
    groups = [a for a in arguments if "=" in a and "." not in a.split("=")[0] and name not in a and "," not in a]
    with initialize_config_module("genexp.conf", version_base="1.3"):
        try:
            config = compose(verb, overrides=groups)
        except HydraException:
            config = compose(verb)
    keys: list[str] = []

    def collect(node: Any, path: str) -> None:
        for key in node if isinstance(node, DictConfig) else ():
            keys.append(f"{path}.{key}" if path else str(key))
            collect(node._get_node(key), keys[-1])

    collect(config, "")
    if close := get_close_matches(name, [key for key in keys if key.count(".") == name.count(".")], n=1, cutoff=0.7):
        return f" Did you mean '{close[0]}'?"
    last_parts = {key.rpartition(".")[2] for key in keys}
    if close := get_close_matches(name.rpartition(".")[2], last_parts, n=1, cutoff=0.7):
        keys = [key for key in keys if key.rpartition(".")[2] == close[0]]
        return f" Did you mean '{max(keys, key=lambda key: SequenceMatcher(a=name, b=key).ratio())}'?"
    return nearest(name, keys)
