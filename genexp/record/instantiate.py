"""A config becomes objects: what ``_target_`` may name, and the one place that follows it."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genexp.record.arguments import check_node, with_key
from genexp.record.errors import ConfigError
from genexp.record.interpolations import literal
from genexp.record.kinds import check_name, resolve
from genexp.record.variables import ALLOW, CONFIG_DIR
from genexp.record.yaml_files import load_yaml


def targets(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All ``(key, _target_)`` below ``config``."""
    if isinstance(config, DictConfig):
        for key in config:
            if not OmegaConf.is_missing(config, key):
                here = f"{path}.{key}" if path else str(key)
                if key == "_target_":
                    yield here, str(config[key])
                yield from targets(config._get_node(key), here)
    elif isinstance(config, ListConfig):
        for i in range(len(config)):
            yield from targets(config._get_node(i), f"{path}[{i}]")


def trusted(extra: Sequence[str]) -> tuple[str, ...]:
    """The modules that the user trusts: those in ``extra`` and in the environment variable :data:`ALLOW`."""
    named = [*extra, *os.environ.get(ALLOW, "").split(",")]
    return tuple(name.strip().rstrip(".") for name in named if name.strip())


def use_config_dir(folder: str) -> None:
    """Take up the user's own config folder for this process and those that it starts: its options count among the metrics that
    fit, and the modules that its ``genexp.yaml`` trusts may be named in ``_target_``. A run folder never has such a say.

    Args:
        folder: of configs. Its file ``genexp.yaml``, if there is one, holds ``allow_targets: [modules]``.

    Raises:
        ConfigError: there is no such folder, or the file says anything else.
    """
    if not os.path.isdir(folder):
        raise ConfigError(f"--config-dir {folder}: there is no such folder")
    os.environ[CONFIG_DIR] = os.path.abspath(folder)
    path = os.path.join(folder, "genexp.yaml")
    if not os.path.isfile(path):
        return
    settings = load_yaml(path)
    settings = OmegaConf.to_container(settings) if OmegaConf.is_config(settings) else settings
    right = "must hold allow_targets, a list of modules, e.g. allow_targets: [mymodels]"
    if not isinstance(settings, dict) or set(settings) != {"allow_targets"}:
        raise ConfigError(f"{path}: {right}")
    modules = settings["allow_targets"]
    if not isinstance(modules, list) or not all(isinstance(name, str) and name.strip() for name in modules):
        raise ConfigError(f"{path}: allow_targets={modules}: {right}")
    os.environ[ALLOW] = ",".join(dict.fromkeys([*filter(None, os.environ.get(ALLOW, "").split(",")), *modules]))


def check_targets(config: Any, extra: Sequence[str], path: str = "") -> None:
    """Refuse a config that names anything outside the modules of its place, before anything is imported.

    Args:
        config: any node of a config.
        extra: further modules that the user trusts.
        path: key of the node, for the message.

    Raises:
        ConfigError: naming the key, the target and how to allow it.
    """
    allowed = trusted(extra)
    for key, target in targets(config, path):
        check_name(key.removesuffix("._target_"), target, allowed)


def rename_lightning(config: Any) -> None:
    """Let ``lightning.pytorch``, the name of the same classes in another package, stand for ``pytorch_lightning`` in every
    ``_target_``: that is what the trainer is of, and takes. The config then says what is used.

    Args:
        config: any node of a config; changed.
    """
    for name in config if isinstance(config, DictConfig) else range(len(config)):
        node = config._get_node(name)
        if isinstance(node, DictConfig | ListConfig):
            if not (node._is_none() or node._is_interpolation() or node._is_missing()):
                rename_lightning(node)
        elif name == "_target_" and isinstance(value := node._value(), str) and value.startswith("lightning.pytorch."):
            OmegaConf.update(config, "_target_", "pytorch_lightning" + value.removeprefix("lightning.pytorch"))


def instantiate(config: DictConfig, key: str, extra: Sequence[str], **arguments: Any) -> Any:
    """The object that ``config.<key>`` describes, called with ``arguments`` as well.

    The node is resolved once. Every target in it is looked up and checked (see :mod:`genexp.record.kinds`) before any is called,
    and what was checked is what is called.

    Raises:
        ConfigError: with the cause of whatever went wrong, and the key.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import get_object
    from hydra.utils import instantiate as hydra_instantiate

    try:
        node = OmegaConf.to_container(OmegaConf.select(config, key), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {' '.join(str(error).split())}") from error
    plain, node = node, OmegaConf.create(literal(literal(node)))  # Hydra resolves twice
    allowed = trusted(extra)
    try:
        for where, target in targets(node, key):
            found = resolve(where.removesuffix("._target_"), target, allowed)
            if get_object(target) is not found:
                raise ConfigError(f"{where}={target} names two things; use the name of the module that defines it")
        if not arguments:
            check_node(plain, key)
        return hydra_instantiate(node, _convert_="all", **arguments)
    except (InstantiationException, ImportError, OSError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, ConfigError):
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ConfigError(with_key(" ".join(str(cause).split()), key, plain)) from error
