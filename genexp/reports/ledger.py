"""Published: the ledger of published numbers and what was reproduced of them, read from the experiment configs."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from genexp.record.errors import ConfigError
from genexp.record.yaml_files import load_yaml
from genexp.reports.tables import verdict

PUBLISHED = (
    "paper",
    "table",
    "metric",
    "value",
    "unit",
    "spread",
    "spread_kind",
    "tolerance",
    "selection",
    "evidence",
    "verified",
)
"""What the block ``published`` of an experiment must say."""


def check_published(block: Mapping[str, Any], where: str) -> None:
    """Refuse a block ``published`` that lacks an entry.

    Args:
        block: the block.
        where: where it stands, for the message.
    """
    missing = [key for key in PUBLISHED if key not in block]
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")


def ledger(config_dir: str | None) -> dict[str, dict[str, Any]]:
    """The ``published`` and ``reproduced`` blocks of all experiments, by name.

    Raises:
        ConfigError: a block lacks an entry.
    """
    folders = [files("genexp.conf") / "experiment"]
    if config_dir:
        folders.append(Path(config_dir) / "experiment")
    entries = {}
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {config_dir}: it has no folder 'experiment'")
        for path in sorted(folder.iterdir(), key=str):
            if not path.name.endswith(".yaml"):
                continue
            config = OmegaConf.to_container(load_yaml(str(path)))
            if config.get("published"):
                check_published(config["published"], f"{path}: published")
                entries[path.name.removesuffix(".yaml")] = config
    return entries


def published(config_dir: str | None, console: Console) -> None:
    """The verb: print the ledger."""
    table = Table(title="Published numbers", title_justify="left")
    for name in ("experiment", "paper", "metric", "published", "reproduced", "verdict", "how"):
        table.add_column(name, overflow="fold")
    for name, config in ledger(config_dir).items():
        number, mine = config["published"], config.get("reproduced")
        spread = f" ± {number['spread']} ({number['spread_kind']})" if number["spread"] is not None else ""
        word, value, how = "not run", "-", ""
        if mine:
            word, _ = verdict(number, mine["value"])
            value = f"{mine['value']:g}"
            how = f"seeds {mine['seeds']}, {mine['minutes']} min, {mine['hardware']}, {mine['date']}, {mine['commit']}"
        table.add_row(
            name,
            f"{number['paper']}, {number['table']}",
            number["metric"],
            f"{number['value']:g} {number['unit']}{spread}",
            value,
            word,
            how,
        )
    console.print(table)
