"""What ``_target_`` may build: kinds of things, by the place in the config that they are meant for.

Where a name begins says little: below ``torch.nn`` and ``pytorch_lightning`` lie functions that run commands, write files or read
pickles. So a target names a class that the place expects, defined in one of the modules of that place, or one of a few functions.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import isclass
from typing import Any

from genexp.record.errors import ConfigError, nearest

OTHER = "lightning"
"""A package with the same classes as ``pytorch_lightning``, which yet are others."""
INITIALISERS = tuple(
    f"torch.nn.init.{name}_"
    for name in (
        "uniform normal trunc_normal constant ones zeros eye dirac xavier_uniform xavier_normal kaiming_uniform kaiming_normal "
        "orthogonal sparse"
    ).split()
)
"""Functions that fill a tensor."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of the config, and what may be built there.

    Args:
        takes: the class that the part itself must be one of, by its full name.
        below: further classes, of which nested parts may be, by their full names.
        modules: where they may be defined.
        functions: that may be named beside classes.
    """

    takes: str
    below: tuple[str, ...] = ()
    modules: tuple[str, ...]
    functions: tuple[str, ...] = ()


METRICS = Place(
    takes="genexp.metrics.base.Metric", below=("genexp.metrics.extractors.Extractor",), modules=("genexp.metrics",)
)
PLACES = {
    "model": Place(
        takes="genexp.families.base.GenerativeModule",
        below=(
            "torch.nn.modules.module.Module",
            "torch.optim.optimizer.Optimizer",
            "torch.optim.lr_scheduler.LRScheduler",
            "torch.distributions.distribution.Distribution",
            "genexp.probability.observation.base.Observation",
            "genexp.probability.adversarial.objectives.Objective",
            "genexp.probability.adversarial.objectives.AuxiliaryClassifier",
            "genexp.probability.adversarial.gradient_penalty.GradientPenalty",
        ),
        modules=(
            "genexp.families",
            "genexp.networks",
            "genexp.probability",
            "torch.nn",
            "torch.optim",
            "torch.distributions",
        ),
        functions=(*INITIALISERS, "genexp.probability.observation.base.by_levels"),
    ),
    "data": Place(takes="genexp.data.base.Data", below=("genexp.data.toy.Density",), modules=("genexp.data",)),
    "metrics": METRICS,
    "monitors": METRICS,
    "trainer": Place(
        takes="pytorch_lightning.trainer.trainer.Trainer",
        below=(
            "pytorch_lightning.strategies.strategy.Strategy",
            "pytorch_lightning.profilers.profiler.Profiler",
        ),
        modules=("pytorch_lightning", "genexp.runs.trainer"),
    ),
    "callbacks": Place(
        takes="pytorch_lightning.callbacks.callback.Callback",
        below=("pytorch_lightning.callbacks.progress.rich_progress.RichProgressBarTheme",),
        modules=("pytorch_lightning.callbacks",),
    ),
    "logger": Place(
        takes="pytorch_lightning.loggers.logger.Logger",
        modules=("pytorch_lightning.loggers", "aim.sdk.adapters.pytorch_lightning"),
    ),
    "hydra.sweeper.sampler": Place(takes="optuna.samplers._base.BaseSampler", modules=("optuna.samplers",)),
    "hydra.sweeper.pruner": Place(takes="optuna.pruners._base.BasePruner", modules=("optuna.pruners",)),
}
"""By the key of the config."""
NAMED = {"metrics", "monitors", "callbacks", "logger"}
"""Places that hold several parts by name."""


def place_of(key: str) -> tuple[Place, bool]:
    """The place that a dotted key is in, and whether it is the part itself and not one nested in it.

    Args:
        key: of a node, without ``_target_``, e.g. ``model.network`` or ``metrics.nll``.

    Raises:
        ConfigError: nothing is built there.
    """
    for name, place in PLACES.items():
        if f"{key}.".startswith(f"{name}."):
            inside = key[len(name) + 1 :].split(".") if key != name else []
            return place, len(inside) == (1 if name in NAMED else 0)
    raise ConfigError(f"{key}._target_: nothing is built there; parts of a run are {', '.join(PLACES)}")


def check_name(key: str, target: str, trusted: Sequence[str]) -> None:
    """Refuse what does not even begin like something that may be built there, before anything is imported.

    Args:
        key: of the node.
        target: its ``_target_``.
        trusted: modules that the user trusts.

    Raises:
        ConfigError: naming the key, the target and how to allow it.
    """
    place, _ = place_of(key)
    if not within(target, (*place.modules, *trusted)):
        module = target.split(".")[0]
        raise ConfigError(
            f"{key}._target_={target} is not in a module that may be named there ({', '.join(place.modules)}). "
            f"If you trust it: allow_targets=[{module}], or once and for all in genexp.yaml of a folder that "
            f"--config-dir names, or GENEXP_ALLOW_TARGETS={module}"
        )


def resolve(key: str, target: str, trusted: Sequence[str]) -> Callable[..., Any]:
    """What a target names, if it is of a kind that its place takes; nothing is called.

    Args:
        key: of the node.
        target: its ``_target_``: ``module.name``. Attributes of a class, and what a module has only imported from elsewhere,
            have no such name.
        trusted: modules that the user trusts: any class or function that is defined there may be built.

    Raises:
        ConfigError: naming key and target, and what would be right.
    """
    check_name(key, target, trusted)
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            hint = "; genexp trains with pytorch_lightning: import that" if error.name.startswith(OTHER) else ""
            raise ConfigError(
                f"{key}._target_={target}: {error}{hint}"
            ) from error  # it imports something that is not there
        raise ConfigError(
            f"{key}._target_={target}: there is no module {error.name}.{_similar_module(module)}"
        ) from error
    except AttributeError as error:
        there = [word for word, value in vars(sys.modules[module]).items() if isclass(value)]
        raise ConfigError(f"{key}._target_={target}: {module} has no {name}.{nearest(name, there)}") from error
    place, is_whole = place_of(key)
    defined = getattr(found, "__module__", None) or ""
    if within(defined, trusted) and callable(found):
        if is_whole and isclass(found) and place.takes not in lineage(found):
            twin = any(name.startswith(f"{OTHER}.") for name in lineage(found))
            hint = "; genexp trains with pytorch_lightning: import its base class from there" if twin else ""
            raise ConfigError(f"{key}._target_={target}: must be a {_short(place.takes)}{hint}")
        return found
    if not is_whole and target in place.functions:
        return found
    kinds = (place.takes,) if is_whole else (place.takes, *place.below)
    if isclass(found) and within(defined, place.modules) and not set(kinds).isdisjoint(lineage(found)):
        return found
    takes = _short(place.takes) if is_whole else f"one of {', '.join(map(_short, kinds))}"
    raise ConfigError(f"{key}._target_={target}: must be a class: {takes}")


def lineage(kind: type) -> Iterator[str]:
    """The full names of a class and of those that it inherits from."""
    return (f"{base.__module__}.{base.__qualname__}" for base in type.mro(kind))


def within(name: str, modules: Sequence[str]) -> bool:
    """Whether a dotted name is one of ``modules`` or lies below one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _similar_module(module: str) -> str:
    """`` Did you mean ...?`` for a module below the part of the name that exists."""
    parent, _, name = module.rpartition(".")
    try:
        from pkgutil import iter_modules

        there = [found.name for found in iter_modules(import_module(parent).__path__)]
    except (ImportError, AttributeError, ValueError):
        return ""
    return nearest(name, there)
