"""Which W&B run a run folder is: the one that it was before, the one that an agent of a W&B sweep asked for, or a new one."""

import os
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from genexp.record.errors import ConfigError, shown
from genexp.record.variables import AGENT


def identity(settings: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """``id``, ``project``, ``entity`` and ``sweep`` of the W&B run. Variables of an agent that asked for another run than the
    folder already is are taken out of the environment of this process.

    Args:
        settings: of the logger.
        earlier: entry ``wandb`` of ``status.json``; empty of a new run.

    Raises:
        ConfigError: the settings name another project or entity than the agent, which would prevail without a word.
    """
    if "id" in earlier:
        if os.environ.get("WANDB_RUN_ID") != earlier["id"]:
            forget_agent()
        kept = {name: earlier.get(name) for name in ("entity", "sweep")}
        return {"id": earlier["id"], "project": earlier.get("project") or settings["project"], **kept}
    found = {"project": settings["project"], "entity": settings["entity"], "sweep": os.environ.get("WANDB_SWEEP_ID")}
    if found["sweep"]:
        for name in ("project", "entity"):
            own = os.environ.get(f"WANDB_{name.upper()}")
            if own and settings[name] not in (own, None):
                raise ConfigError(
                    f"logger.wandb.{name}={shown(settings[name])}: the agent's sweep belongs to {name} {own}; leave it out"
                )
            found[name] = own or settings[name]
    return {"id": os.environ.get("WANDB_RUN_ID") or token_hex(4), **found}


def forget_agent() -> None:
    """Take an agent's variables out of the environment: it asked for one run, and another is to begin."""
    for name in AGENT:
        os.environ.pop(name, None)
