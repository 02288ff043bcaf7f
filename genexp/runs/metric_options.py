"""The metrics that configs offer: those of genexp, and those in the user's own config folder."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from genexp.record.instantiate import CONFIG_DIR
from genexp.record.yaml_files import load_yaml


def metric_options() -> dict[str, dict[str, Any]]:
    """The nodes of all metrics in ``metrics/*.yaml``, by name, not resolved.

    Raises:
        ConfigError: a file of the user's is broken.
    """
    folders = [files("genexp.conf") / "metrics"]
    if own := os.environ.get(CONFIG_DIR):
        folders.append(Path(own) / "metrics")
    found: dict[str, dict[str, Any]] = {}
    for path in (path for folder in folders if folder.is_dir() for path in folder.iterdir()):
        if not path.name.endswith(".yaml"):
            continue
        group = OmegaConf.to_container(load_yaml(str(path)))
        for name, node in group.items() if isinstance(group, dict) else ():
            if isinstance(node, dict) and "_target_" in node:
                found[str(name)] = node
    return found
