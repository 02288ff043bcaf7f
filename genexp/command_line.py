"""The words of a command: options may stand anywhere among the overrides, and a user's config folder is taken up."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from genexp.catalogue.candidates import AFTER, COMPOSED
from genexp.record.errors import ConfigError, check_choice, nearest
from genexp.record.instantiate import CONFIG_DIR as CONFIG_FOLDER
from genexp.record.instantiate import use_config_dir
from genexp.runs.settings import check_name
from genexp.sweeps.process import quoted

WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
"""Options of Hydra that a value follows."""
WITH_OPTIONAL_VALUE = ("--info", "-i")
"""Options that a value may follow."""
INFORMATION = AFTER["--info"]
"""The values: the first where none is given."""
CONFIG_DIR = ("--config-dir", "-cd")
SWITCHES = (
    *(
        "--help",
        "-h",
        "--hydra-help",
        "--version",
        "--resolve",
        "--run",
        "-r",
        "--multirun",
        "-m",
        "--shell-completion",
        "-sc",
    ),
    *("--experimental-rerun",),
)
"""Options of Hydra that stand alone."""
CHOICES = {option: AFTER[option] for option in ("--cfg", "-c")}
"""What may follow an option."""
TEXTS = ("name", "group", "job_type")
"""Keys whose values are text, whatever they look like."""


def check_options(arguments: Sequence[str], verb: str = "train") -> None:
    """Refuse options that Hydra does not have, with the nearest that it has, and those that would have no effect.

    Args:
        arguments: the words of the command after the verb.
        verb: train, evaluate or sample.

    Raises:
        ConfigError: naming the first, or an option whose value is missing.
    """
    options: list[str] = []
    known = (*SWITCHES, *WITH_VALUE, *WITH_OPTIONAL_VALUE)
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not _is_option(word):
            continue
        option, is_given, value = word.partition("=")
        if option not in known and not (option.startswith("--") and any(k.startswith(option) for k in known)):
            names = [name for name in known if name.startswith("--") == option.startswith("--")]
            key = _key_of(option, value or next((w for w in waiting[:1] if not _is_option(w)), ""), verb)
            raise ConfigError(f"{option}: there is no such option.{key or nearest(option, names)}")
        if option in WITH_VALUE and not is_given:
            if not waiting:
                raise ConfigError(f"{option} needs a value")
            value = waiting.pop(0)
        options.append(option)
        if option in CHOICES:
            check_choice(option, value, CHOICES[option])
        if option in ("--config-path", "-cp"):
            raise ConfigError(
                f"{option} {value}: genexp's configs are always there; --config-dir {value} adds your own"
            )
        if option in ("--config-name", "-cn"):
            _check_config_name(option, value, verb)
    if printed := next((o for o in options if o in ("--package", "-p", "--resolve")), None):
        if not {"--cfg", "-c"} & {o.partition("=")[0] for o in options}:
            raise ConfigError(f"{printed} says what --cfg prints: --cfg job {printed}")


def _key_of(option: str, value: str, verb: str) -> str:
    """`` Keys are written ...`` where an option is a key, here or elsewhere."""
    from genexp.catalogue.composition import compose_verb, leaves
    from genexp.runs.foreign_keys import answer

    composed = compose_verb(verb, [])
    keys = [*(key for key, _ in leaves(composed.root)), *(group for group, _ in composed.chosen)]
    name = option.lstrip("-").replace("-", "_")
    if name in keys:
        return f" Keys are written without dashes: {name}={value or '...'}"
    known = answer(name, value, keys, verb)
    return f" Keys are written without dashes: {known}" if known else ""


def check_words(overrides: Sequence[str]) -> None:
    """Refuse words that are no overrides.

    Raises:
        ConfigError: naming the first.
    """
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            if os.path.isdir(word):
                raise ConfigError(f"{word}: a run is named by run={word}")
            raise ConfigError(f"{word}: overrides are key=value, as model=vae")


def _check_config_name(option: str, value: str, verb: str) -> None:
    """Another file than the verb's is refused, unless it is in the user's own config folder."""
    name, own = value.removesuffix(".yaml"), os.environ.get(CONFIG_FOLDER)
    if name == verb or (own and os.path.isfile(os.path.join(own, f"{name}.yaml"))):
        return
    hint = (
        f"genexp {name} is a verb"
        if name in COMPOSED
        else (
            f"experiment={name} chooses a file of conf/experiment; of your own, DIR/experiment/{name}.yaml, with --config-dir DIR"
        )
    )
    raise ConfigError(f"{option} {value}: the config of genexp {verb} is {verb}; {hint}")


def literal_names(arguments: Sequence[str]) -> list[str]:
    """The words with the values of :data:`TEXTS`, and the entries of ``tags``, in quotes: Hydra takes ``2024_01`` for a number.

    Raises:
        ConfigError: a name is no name of a folder.
    """
    return [_literal(word) for word in arguments]


def _literal(word: str) -> str:
    key, is_given, value = word.partition("=")
    plain = key.lstrip("+")
    if not is_given or _is_option(word):
        return word
    if plain == "tags" and re.fullmatch(r"\[[^\[\]{}'\"$\\]*\]", value):
        tags = [tag.strip() for tag in value[1:-1].split(",") if tag.strip()]
        return word if all(map(_is_text, tags)) else f"{key}=[{','.join(map(quoted, tags))}]"
    if plain not in TEXTS or value[:1] in ("'", '"') or re.search(r"[,$(){}\[\]\\]", value):
        return word  # a sweep, an interpolation, or Hydra's own quotes
    if plain == "name":
        check_name(value)
    elif value in ("", "null"):
        return word
    return word if _is_text(value) else f"{key}={quoted(value)}"


def _is_text(value: str) -> bool:
    """Whether Hydra's grammar takes a value for text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        return OverridesParser.create().parse_overrides([f"x={value}"])[0].value() == value
    except OverrideParseException:
        return False


def options_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options with their values, and overrides, each in their order: Hydra takes overrides in one piece only, and after
    ``--info`` the first of them for what is asked."""
    options: list[str] = []
    overrides: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not _is_option(word):
            overrides.append(word)
            continue
        options.append(word)
        if word in WITH_OPTIONAL_VALUE:
            options.append(waiting.pop(0) if waiting and waiting[0] in INFORMATION else INFORMATION[0])
        elif word in WITH_VALUE and waiting:
            options.append(waiting.pop(0))
    return options, overrides


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


def logger_of_agent(arguments: Sequence[str]) -> list[str]:
    """``logger=wandb`` for the run that an agent of a W&B sweep asks for, where the command chooses no logger: an agent that hears
    nothing of its runs could not search."""
    is_asked = os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID")
    keys = [word.lstrip("+~").partition("=")[0].partition(".")[0] for word in arguments]
    return ["logger=wandb"] if is_asked and not {"logger", "-m", "--multirun", "sweep", "run"} & set(keys) else []


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
