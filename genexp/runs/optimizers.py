"""Optimizers and schedules are made once before a run begins, so that a setting that they refuse is found then."""

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from genexp.families.base import GenerativeModule
from genexp.families.slots.optimisation import OptimizerFactory
from genexp.probability.randomness import keyed_draws
from genexp.record.errors import ConfigError


def check_optimizers(model: GenerativeModule) -> None:
    """Make every optimizer of the model and its schedule, and throw them away. No random number is drawn.

    Args:
        model: untrained.

    Raises:
        ConfigError: naming the key, its value and what is wrong with it.
    """
    if not model.is_trained:
        if model.optimizer_factory is not None:
            raise ConfigError(
                f"model.optimizer: {type(model).__name__} has no parameter to train here; it must be null"
            )
        return
    with keyed_draws(torch.device("cpu"), 0), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a schedule takes its steps without an optimizer's here
        optimizers = []
        for key, factory, part in _slots(model):
            if factory is None:
                raise ConfigError(f"{key}=null: {type(model).__name__} is trained by one")
            optimizers.append(_made(key, factory, lambda f, part=part: f(part.parameters())))
        if model.scheduler_factory is not None:
            for optimizer in optimizers:
                _made("model.scheduler", model.scheduler_factory, lambda f, o=optimizer: _schedule(f, o))
        try:
            model.configure_optimizers()
        except Exception as error:
            raise ConfigError(f"model: {_said(error)}") from error


def _slots(model: GenerativeModule) -> list[tuple[str, OptimizerFactory | None, nn.Module]]:
    """Of every optimizer: its key, what makes it, and whose parameters it has."""
    if not model.players:
        return [("model.optimizer", model.optimizer_factory, model)]
    return [(f"model.{p}_optimizer", getattr(model, f"{p}_optimizer"), getattr(model, p)) for p in model.players]


def _schedule(factory: Callable[..., Any], optimizer: Optimizer) -> None:
    """A schedule and its first steps, for which some settings are looked at only."""
    rates = [dict(group) for group in optimizer.param_groups]
    scheduler = factory(optimizer)
    for _ in range(2):
        scheduler.step()
    for group, before in zip(optimizer.param_groups, rates, strict=True):
        group.update(before)


def _made(key: str, factory: Callable[..., Any], make: Callable[[Callable[..., Any]], Any]) -> Any:
    """What ``make(factory)`` gives.

    Raises:
        ConfigError: it fails; the setting is named without which, or with 1 in its place, it would not.
    """
    try:
        return make(factory)
    except Exception as error:
        settings = factory.keywords if isinstance(factory, partial) else {}
        for name, value in settings.items():
            others = {k: v for k, v in settings.items() if k != name}
            without = [others, {**others, name: 1}] if isinstance(value, int | float) else [others]  # some are needed
            for instead in without:
                try:
                    make(partial(factory.func, *factory.args, **instead))
                except Exception:  # not this one, or not this one alone
                    continue
                raise ConfigError(f"{key}.{name}={value}: {_said(error)}") from error
        raise ConfigError(f"{key}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """What an error says, without the value at its end, which is named already."""
    text = " ".join(str(error).split()) or type(error).__name__
    if "not supported between instances" in text:
        return "must be a number"
    text = re.sub(r"^(Invalid [^:]*?)(?: at index \d+)?(?: value)?: [^:]*$", r"\1", text)
    return text[:1].lower() + text[1:] if text.startswith("Invalid") else text
