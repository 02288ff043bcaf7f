"""The words of a command: options may stand anywhere among the overrides, and a user's config folder is taken up."""

import os
from collections.abc import Sequence
from pathlib import Path

from genexp.record.errors import ConfigError
from genexp.record.instantiate import use_config_dir

WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
"""Options of Hydra that a value follows."""
WITH_OPTIONAL_VALUE = ("--info", "-i")
"""Options that a value may follow."""
CONFIG_DIR = ("--config-dir", "-cd")


def options_first(arguments: Sequence[str]) -> list[str]:
    """Options with their values, then overrides, each in their order: Hydra takes overrides in one piece only."""
    options: list[str] = []
    overrides: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not _is_option(word):
            overrides.append(word)
            continue
        options.append(word)
        takes = word in WITH_VALUE or (word in WITH_OPTIONAL_VALUE and waiting and "=" not in waiting[0])
        if takes and waiting:
            options.append(waiting.pop(0))
    return [*options, *overrides]


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


def take_up_config_dir(arguments: Sequence[str]) -> None:
    """Use the folder that ``--config-dir`` names among the words of a command, if it does.

    Raises:
        ConfigError: there is no such folder, or its ``genexp.yaml`` is wrong.
    """
    for i, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option in CONFIG_DIR:
            if not value and i + 1 == len(arguments):
                raise ConfigError(f"{option} needs a folder")
            use_config_dir(value or arguments[i + 1])


def without_config_dir(arguments: Sequence[str]) -> list[str]:
    """The words without the option ``--config-dir``, for a verb that composes nothing."""
    kept: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word in CONFIG_DIR and waiting:
            waiting.pop(0)
        elif word.partition("=")[0] not in CONFIG_DIR:
            kept.append(word)
    return kept


def name_of_sweep(arguments: Sequence[str]) -> list[str]:
    """The override ``name=...`` that all jobs of a multirun share, if the command line does not give one: with the time, so
    that :class:`genexp.sweeps.default_name.ClaimName` makes it unique."""
    given = dict(a.split("=", 1) for a in arguments if "=" in a and a[0] != "-")
    option = given.get("sweep", "null")
    if "," in option:
        raise ConfigError(f"sweep={option}: one sweep at a time")
    is_multirun = option != "null" or any(a in ("-m", "--multirun", "hydra.mode=MULTIRUN") for a in arguments)
    if not is_multirun or given.get("hydra.mode") == "RUN" or "name" in given:
        return []
    return [f"name='${{now:%Y%m%d-%H%M%S}}-{'sweep' if option == 'null' else option}'"]


def check_outputs() -> None:
    """Refuse to begin a run where none can be written.

    Raises:
        ConfigError: ``outputs`` is no folder, or may not be written.
    """
    for place in (Path("outputs"), Path(".")):
        if os.path.lexists(place):
            if not place.is_dir():
                raise ConfigError(f"{place} is not a folder, and the runs go there: rename it, or start elsewhere")
            if not os.access(place, os.W_OK | os.X_OK):
                raise ConfigError(f"{place.absolute()} may not be written, and the runs go there: start elsewhere")
            return
