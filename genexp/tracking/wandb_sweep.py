"""W&B sweeps over a family, as text for ``wandb sweep``; the files are in ``wandb_sweeps`` beside this one."""

from collections.abc import Sequence
from json import dumps
from pathlib import Path

from genexp.record.errors import ConfigError, check_choice, shown

FOLDER = Path(__file__).with_name("wandb_sweeps")
ARGUMENTS = "  - ${args_no_hyphens}\n"
"""The word of a sweep's command in whose place the agent puts what it tries, as ``key=value``."""


def families() -> list[str]:
    """Those that there is a sweep over."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def sweep_for(family: str, overrides: Sequence[str]) -> str:
    """The YAML.

    Args:
        family: one of :func:`families`.
        overrides: ``key=value`` for all runs.

    Raises:
        ConfigError: there is no sweep over that family, a word is none of these, or it says what the agent decides.
    """
    check_choice("family", family, families())
    text = (FOLDER / f"{family}.yaml").read_text()
    for word in overrides:
        key, is_given, _ = word.partition("=")
        if not is_given or word.startswith("-"):
            raise ConfigError(f"{shown(word)}: must be key=value")
        if key in ("name", "logger.wandb.project", "logger.wandb.entity", "logger.wandb.name"):
            raise ConfigError(f"{shown(word)}: the runs of a sweep cannot share it; leave it out")
        if f"\n  {key.lstrip('+')}:\n" in text:
            raise ConfigError(f"{shown(word)}: the sweep varies {key}; change the file that this prints")
    return text.replace(ARGUMENTS, "".join(f"  - {dumps(word)}\n" for word in overrides) + ARGUMENTS)
