"""The settings of the loggers, checked before anything heavy is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from genexp.record.annotations import check_type
from genexp.record.arguments import check_node
from genexp.record.errors import ConfigError, check_choice, nearest, shown
from genexp.record.signatures import signature
from genexp.runs.settings import WANDB_MODES, section
from genexp.tracking.adapters import Adapter, adapter_of, lineage, missing

LOGGER = "pytorch_lightning.loggers.WandbLogger"
SHIPPED = ("wandb", "csv", "tensorboard", "mlflow", "aim")
"""Options of ``logger=`` in ``conf/logger``, beside none."""


@dataclass(frozen=True, kw_only=True)
class Wandb:
    """What ``conf/logger/wandb.yaml`` says; further entries go to Lightning's logger and to ``wandb.init``. What earlier versions
    did not have has a default."""

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
    log_model: Literal["best", "all"] | None = None
    code: bool = False
    alert: bool = False


def check_packages(loggers: Mapping[str, Any] | None) -> None:
    """Refuse loggers whose package is not there.

    Args:
        loggers: the section ``logger`` of a resolved config.

    Raises:
        ConfigError: naming the logger, the package and the extra of genexp that has it.
    """
    for name, node in (loggers or {}).items():
        if isinstance(node, Mapping) and isinstance(node.get("_target_"), str):
            adapter = adapter_of(node["_target_"])
            if missing(adapter):
                raise ConfigError(
                    f"logger.{name}: the package {adapter.packages[0]} is missing: pip install genexp[{adapter.extra}]"
                )


def check_loggers(loggers: Mapping[str, Any] | None) -> None:
    """Refuse wrong settings in the section ``logger`` of a resolved config.

    Raises:
        ConfigError: naming the key, the value and the rule.
    """
    for name, node in (loggers or {}).items():
        if node is not None and not isinstance(node, Mapping):
            raise ConfigError(f"logger.{name}={shown(node)}: must be a mapping, as of logger={name}, or null")
        if name == "wandb":
            if node is not None:
                _check_wandb(node)
        elif node is not None:
            _check_other(str(name), node)


def _check_other(name: str, node: Mapping[str, Any]) -> None:
    if "_target_" not in node:
        if name in SHIPPED:
            raise ConfigError(f"logger.{name}: there is none to be set: choose it too, logger={name}")
        raise ConfigError(
            f"logger.{name}: there is no such logger.{nearest(name, SHIPPED)} One of your own needs its class, "
            f"+logger.{name}._target_=..."
        )
    adapter = adapter_of(node["_target_"])(name, node, Path("."))
    for place in adapter.places:
        if node.get(place) is not None and place != "version" and not isinstance(node[place], str):
            raise ConfigError(f"logger.{name}.{place}={shown(node[place])}: must be text, or null")
    check_node(adapter.arguments({}, 0), f"logger.{name}")


def _check_wandb(wandb: Mapping[str, Any]) -> None:
    own = {name: value for name, value in wandb.items() if name in Wandb.__dataclass_fields__}
    section(Wandb, own, "logger.wandb")
    if "WandbLogger" not in lineage(wandb["_target_"]):
        raise ConfigError(f"logger.wandb._target_={wandb['_target_']}: must be a WandbLogger; give others another name")
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


def check_recorded(loggers: Mapping[str, Any], overrides: Sequence[str], folder: str) -> None:
    """Refuse loggers of a run folder, which somebody else may have made, that could write outside of it or send what they log
    anywhere: those beside the ones that genexp comes with, and those that name a place. Whoever takes up the run may say so
    again, and then it counts.

    Args:
        loggers: the section ``logger`` as recorded.
        overrides: ``key=value`` of the command.
        folder: of the run, for the message.

    Raises:
        ConfigError: naming the key and what to say.
    """
    said = {word.lstrip("+").partition("=")[0] for word in overrides}
    for name, node in loggers.items():
        if name == "wandb" or not isinstance(node, Mapping) or said & {"logger", f"logger.{name}"}:
            continue
        adapter = adapter_of(str(node.get("_target_")))
        named = ["_target_"] if adapter is Adapter else [p for p in adapter.places if node.get(p) is not None]
        for key in named:
            if f"logger.{name}.{key}" not in said:
                raise ConfigError(
                    f"logger.{name}.{key}={shown(node.get(key))}: {folder} asks for that, and what a run folder says does not "
                    f"count there; say it again to allow it, or logger=none"
                )
