"""Secrets stay out of configs, and so out of run folders and W&B."""

import os
import re
from typing import Any

SECRET = re.compile(r"(^|_)(api_?key|password|passwd|secret|private_key|access_key|credentials)$", re.IGNORECASE)
TOKEN = re.compile(r"(^|_)token$", re.IGNORECASE)
"""A secret if it is text; a number is a token of a vocabulary."""
URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
"""A password within an address."""


def find_secret(node: Any, path: str = "") -> str | None:
    """The dotted key of a secret in a resolved config of plain containers; None if there is none."""
    if isinstance(node, dict):
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            if value is not None and (SECRET.search(str(key)) or (isinstance(value, str) and TOKEN.search(str(key)))):
                return here
            if found := find_secret(value, here):
                return found
    elif isinstance(node, list):
        return next((found for i, value in enumerate(node) if (found := find_secret(value, f"{path}[{i}]"))), None)
    elif isinstance(node, str):
        key = os.environ.get("WANDB_API_KEY")
        if URL.search(node) or (key and key in node):
            return path
    return None
