"""A config becomes objects: what ``_target_`` may name, and the one place that follows it."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from genexp.record.errors import ConfigError

ALLOWED = (
    "genexp.",
    "torch.nn.",
    "torch.optim.",
    "torch.distributions.",
    "torchmetrics.",
    "pytorch_lightning.",
)
"""What ``_target_`` may name. Not all of torch: ``torch.load`` and others execute what they read."""


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


def allowed_prefixes(extra: Sequence[str]) -> tuple[str, ...]:
    """The allow-list, with the modules in ``extra`` and in the environment variable GENEXP_ALLOW_TARGETS."""
    named = [*extra, *os.environ.get("GENEXP_ALLOW_TARGETS", "").split(",")]
    return ALLOWED + tuple(name.strip().rstrip(".") + "." for name in named if name.strip())


def check_targets(config: Any, extra: Sequence[str], path: str = "") -> None:
    """Refuse a config that names anything outside the allow-list, before anything is imported.

    Args:
        config: any node of a config.
        extra: further modules that the user trusts.
        path: key of the node, for the message.

    Raises:
        ConfigError: naming the key, the target and how to allow it.
    """
    prefixes = allowed_prefixes(extra)
    for key, target in targets(config, path):
        if not target.startswith(prefixes):
            raise ConfigError(
                f"{key}={target} is not among the modules that a config may name ({', '.join(ALLOWED)}). "
                f"If you trust it: allow_targets=[{target.split('.')[0]}] or GENEXP_ALLOW_TARGETS={target.split('.')[0]}"
            )


def instantiate(config: DictConfig, key: str, extra: Sequence[str], **arguments: Any) -> Any:
    """The object that ``config.<key>`` describes, called with ``arguments`` as well.

    The allow-list is checked twice: on the names, and on where the named objects were defined, since
    ``torch.nn.init.torch.load`` begins with an allowed prefix too.

    Raises:
        ConfigError: with the cause of whatever went wrong, and the key.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import get_object
    from hydra.utils import instantiate as hydra_instantiate

    node = OmegaConf.select(config, key)
    check_targets(node, extra, key)
    prefixes = allowed_prefixes(extra)
    try:
        for where, target in targets(node, key):
            defined = getattr(get_object(target), "__module__", None) or ""
            if not f"{defined}.".startswith(prefixes):
                raise ConfigError(f"{where}={target} is defined in '{defined}', which a config may not name")
        return hydra_instantiate(node, _convert_="all", **arguments)
    except (InstantiationException, ImportError, OSError, ValueError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = " ".join(str(cause).split())
        raise ConfigError(f"{key}: {text}") from error
