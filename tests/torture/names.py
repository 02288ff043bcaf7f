"""All names that a config could write into ``_target_``, and which of them it may build."""

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from inspect import isclass
from typing import Any

from genexp.record.errors import ConfigError
from genexp.record.kinds import INITIALISERS, resolve

PACKAGES = ("genexp", "torch.nn", "torch.optim", "torch.distributions", "pytorch_lightning", "torchmetrics")


def names_below(*packages: str) -> Iterator[str]:
    """Every name of every module below some packages, as far as the modules can be imported."""
    for package in packages:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.", lambda name: None):
            if not found.name.endswith("__main__"):
                try:
                    importlib.import_module(found.name)
                except Exception:  # needs a package that is not installed, or a compiler
                    continue
                yield from (f"{found.name}.{name}" for name in dir(sys.modules[found.name]))


def kinds() -> dict[str, tuple[type, ...]]:
    """What is meant to be built, by the key of a config."""
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.profilers import Profiler
    from pytorch_lightning.strategies import Strategy

    from genexp.data.base import Data
    from genexp.data.toy import Density
    from genexp.families.base import GenerativeModule
    from genexp.metrics.base import Metric
    from genexp.metrics.extractors import Extractor
    from genexp.probability.adversarial.gradient_penalty import GradientPenalty
    from genexp.probability.adversarial.objectives import AuxiliaryClassifier, Objective
    from genexp.probability.observation.base import Observation

    parts = (torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, Observation, Objective)
    parts += (torch.distributions.Distribution, AuxiliaryClassifier, GradientPenalty)
    return {
        "model": (GenerativeModule,),
        "model.part": parts,
        "data": (Data,),
        "data.part": (Data, Density),
        "metrics.x": (Metric,),
        "metrics.x.part": (Metric, Extractor),
        "trainer": (pl.Trainer,),
        "trainer.part": (pl.Trainer, pl.Callback, Strategy, Profiler),
        "logger.x": (pl.loggers.Logger,),
    }


def scan() -> dict[str, Any]:
    """Try every name at every place of a config.

    Returns:
        ``tried``, the number of names; ``accepted``, of the things that may be built, by place; ``outside``, accepted names that
        are of no kind that is meant to be built.
    """
    from genexp.probability.observation.base import by_levels

    functions = {vars(importlib.import_module("torch.nn.init"))[name.rpartition(".")[2]] for name in INITIALISERS}
    functions.add(by_levels)
    intended, tried, outside = kinds(), 0, []
    accepted: dict[str, set[Any]] = {key: set() for key in intended}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for target in names_below(*PACKAGES):
            tried += 1
            for key, bases in intended.items():
                try:
                    found = resolve(key, target, ())
                except ConfigError:
                    continue
                accepted[key].add(found)
                if not (isclass(found) and issubclass(found, bases)) and not (
                    key == "model.part" and found in functions
                ):
                    outside.append(f"{key}._target_={target}")
    return {"tried": tried, "accepted": {key: len(found) for key, found in accepted.items()}, "outside": outside}
