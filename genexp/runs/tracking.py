"""Weights & Biases, reached through Lightning's logger only."""

import netrc
import os
import socket
from typing import Any
from urllib.parse import urlparse

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from rich.console import Console

from genexp.runs.config import instantiate
from genexp.runs.folder import RunFolder


def obstacle(timeout_s: float = 3.0) -> str | None:
    """Why W&B cannot be reached online, found out in a few seconds; None if it can."""
    url = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    if not os.environ.get("WANDB_API_KEY"):
        try:
            has_key = netrc.netrc().authenticators(url.hostname) is not None
        except (OSError, netrc.NetrcParseError):
            has_key = False
        if not has_key:
            return "there is no API key (WANDB_API_KEY, or `wandb login`)"
    try:
        socket.create_connection((url.hostname, url.port or (80 if url.scheme == "http" else 443)), timeout_s).close()
    except OSError as error:
        return f"{url.hostname} cannot be reached ({error})"
    return None


def make_loggers(config: DictConfig, folder: RunFolder, group: str | None, console: Console) -> list[Logger]:
    """The loggers that the config asks for, given the whole config to record.

    Args:
        config: the composed config.
        folder: the run folder; W&B's own files go there.
        group: name of the sweep; None for a single run.
        console: where to say that logging is offline.

    Returns:
        One W&B logger, or none.
    """
    if config.logger.wandb is None:
        return []
    config = config.copy()
    settings = config.logger.wandb
    mode = os.environ.get("WANDB_MODE", settings.mode)
    if mode == "online" and (reason := obstacle()):
        line = f"  W&B: {reason}; logging offline. Later: wandb sync {folder.path}/wandb/offline-run-*"
        console.print(line, highlight=False, soft_wrap=True)
        mode = "offline"
    os.environ["WANDB_SILENT"] = "true"
    OmegaConf.update(settings, "mode", mode)
    if settings.group is None and group is not None:
        OmegaConf.update(settings, "group", group)
    OmegaConf.update(settings, "save_dir", str(folder.path), force_add=True)
    logger = instantiate(config, "logger.wandb", config.allow_targets)
    record = OmegaConf.to_container(config, resolve=True)
    record.pop("logger")
    logger.log_hyperparams(record)
    return [logger]


def finish(loggers: list[Logger], summary: dict[str, Any], failed: bool) -> None:
    """Write the final values and end the W&B runs: the next job in this process is then a run of its own."""
    for logger in loggers:
        logger.experiment.summary.update(summary)
        logger.experiment.finish(exit_code=int(failed))
