"""Secrets stay out of configs, and so out of run folders and W&B."""

import os
import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genexp.runs.config import ConfigError

SECRET = re.compile(r"(^|_)(api_?key|password|passwd|secret|private_key|access_key|credentials)$", re.IGNORECASE)
TOKEN = re.compile(r"(^|_)token$", re.IGNORECASE)
"""A secret if it is text; a number is a token of a vocabulary."""
URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""A password within an address."""


def refuse_secrets(config: DictConfig) -> None:
    """Refuse a config that holds a secret: whatever it holds is written to the run folder and logged.

    Raises:
        ConfigError: naming the key, never the value, and where a secret belongs.
    """
    _search(OmegaConf.to_container(config, resolve=True), "")


def _search(node: Any, path: str) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            if value is not None and (SECRET.search(str(key)) or (isinstance(value, str) and TOKEN.search(str(key)))):
                raise ConfigError(f"{here}: {REASON}")
            _search(value, here)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            _search(value, f"{path}[{i}]")
    elif isinstance(node, str):
        key = os.environ.get("WANDB_API_KEY")
        if URL.search(node) or (key and key in node):
            raise ConfigError(f"{path}: {REASON}")


REASON = (
    "a config holds no secrets, since it is written to the run folder and logged; "
    "for W&B, set the environment variable WANDB_API_KEY, or use `wandb login`"
)
