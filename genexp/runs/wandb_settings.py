"""The settings of the W&B logger, checked before W&B is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from genexp.record.annotations import check_type
from genexp.record.errors import ConfigError, check_choice, nearest, shown
from genexp.record.signatures import signature
from genexp.runs.settings import WANDB_MODES, section

LOGGER = "pytorch_lightning.loggers.WandbLogger"


@dataclass(frozen=True, kw_only=True)
class Wandb:
    """What ``conf/logger/wandb.yaml`` says; further entries go to Lightning's logger and to ``wandb.init``."""

    _target_: str
    project: str
    entity: str | None
    name: str
    group: str | None
    job_type: str
    tags: list[str]
    mode: str
    watch: Literal["gradients", "parameters", "all"] | None
    settings: dict[str, Any]


def check_wandb(logger: Mapping[str, Any]) -> None:
    """Refuse wrong settings in the section ``logger`` of a resolved config.

    Raises:
        ConfigError: naming the key, the value and the rule.
    """
    for name in logger:
        if name != "wandb":
            raise ConfigError(f"logger.{name}: logger has no such setting.{nearest(str(name), ['wandb'])}")
    wandb = logger.get("wandb")
    if wandb is None:
        return
    if not isinstance(wandb, Mapping):
        raise ConfigError(f"logger.wandb={shown(wandb)}: must be a mapping, as of logger=wandb, or null")
    own = {name: value for name, value in wandb.items() if name in Wandb.__dataclass_fields__}
    section(Wandb, own, "logger.wandb")
    check_choice("logger.wandb.mode", wandb["mode"], WANDB_MODES)
    if not wandb["project"].strip():
        raise ConfigError("logger.wandb.project must not be empty")
    init, settings = (signature(name) for name in ("wandb.sdk.wandb_init.init", "wandb.sdk.wandb_settings.Settings"))
    further = {**signature(LOGGER).parameters, **init.parameters} if init and signature(LOGGER) else None
    for name in wandb.keys() - own.keys() if further else ():
        if name not in further:
            raise ConfigError(
                f"logger.wandb.{name}: neither WandbLogger nor wandb.init has such an argument.{nearest(name, further)}"
            )
    known = settings.parameters if settings else {}
    for name, value in wandb["settings"].items() if known else ():
        if name not in known:
            raise ConfigError(f"logger.wandb.settings.{name}: W&B has no such setting.{nearest(str(name), known)}")
        check_type(known[name], value, f"logger.wandb.settings.{name}")
