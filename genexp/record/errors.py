"""What is wrong with the user's input, in one line."""

from collections.abc import Sequence
from difflib import get_close_matches

SPLITS = ("train", "validation", "test")


class ConfigError(ValueError):
    """The user's input is wrong: one line that names the key or file and what would be right."""


def nearest(name: str, names: Sequence[str]) -> str:
    """`` Did you mean 'x'?`` for the most similar of ``names``, or an empty string."""
    match = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def check_choice(key: str, value: str, valid: Sequence[str]) -> None:
    """Refuse a value that is not among ``valid``, with the nearest that is."""
    if value not in valid:
        raise ConfigError(f"{key}={value}: must be one of {', '.join(valid)}.{nearest(str(value), valid)}")
