"""The Protocols of the slots say how factories are called: the configs' parts accept it, and the families call them so."""

import inspect
import re
import typing
from functools import partial
from importlib import import_module
from importlib.resources import files
from types import NoneType

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.optim.lr_scheduler import LinearLR

from genexp.families.base import GenerativeModule
from genexp.record import instantiate as record
from genexp.record.errors import ConfigError

CONFIGS = sorted(file.name[:-5] for file in (files("genexp.conf") / "model").iterdir() if file.is_file())
OF_REALS = ("genexp.families.flow.Flow", "genexp.families.continuous_flow.ContinuousFlow")
POSITIONAL, KEYWORD = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.KEYWORD_ONLY


def constructor(made):
    """The parameters of a class or function by name; those that a class passes on as ``**kwargs`` are its bases'."""
    if not inspect.isclass(made):
        return dict(inspect.signature(made).parameters)
    found = {}
    for base in made.__mro__:
        if "__init__" in vars(base):
            _, *parameters = inspect.signature(base.__init__).parameters.values()
            found = {p.name: p for p in parameters} | found
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                break
    return {name: p for name, p in found.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def protocol(annotation):
    """The Protocol of a slot that is annotated with it, with it or None, or with a sequence of it; else None."""
    of = [a for a in typing.get_args(annotation) or (annotation,) if a is not NoneType]
    return of[0] if len(of) == 1 and getattr(of[0], "_is_protocol", False) else None


def called_with(slot):
    """How the factories of a slot are called: the number of positional arguments, and the keywords."""
    _, *parameters = inspect.signature(slot.__call__).parameters.values()
    assert {p.kind for p in parameters} in ({POSITIONAL}, {KEYWORD})
    return sum(p.kind is POSITIONAL for p in parameters), {p.name for p in parameters if p.kind is KEYWORD}


def slots(family):
    return {name: slot for name, p in constructor(family).items() if (slot := protocol(p.annotation))}


def is_partial(value):
    """Hydra's own are no ``functools.partial`` in each of its versions."""
    return hasattr(value, "func") and hasattr(value, "keywords")


def watched(made, calls):
    """The factory of a family, whose slots append to ``calls`` how they are called: the slot, the factory in it, and what it is
    called with."""

    def watch(slot, factory):
        def call(*args, **keywords):
            calls.append((slot, factory, len(args), set(keywords)))
            return inner(*args, **keywords)

        inner = watched(factory, calls)
        return call

    if not (inspect.isclass(made.func) and issubclass(made.func, GenerativeModule)):
        return made
    known, replaced = slots(made.func), {}
    for name, value in made.keywords.items():
        several = [value] if not isinstance(value, list) else value
        if any(map(is_partial, several)):
            assert name in known, f"{name} of {made.func.__name__} takes a factory, and has no Protocol"
            calls_of = [watch(known[name], factory) for factory in several]
            replaced[name] = calls_of if isinstance(value, list) else calls_of[0]
    return partial(made.func, **(dict(made.keywords) | replaced))


@pytest.fixture(scope="module")
def calls(compose_train):
    """All calls of factories while the models of all configs are made and their optimizers."""
    found = []
    for name in CONFIGS:
        config = compose_train(f"model={name}", "data=digits")
        if config.model._target_ in OF_REALS:
            config = compose_train(f"model={name}", "data=toy")
        OmegaConf.set_struct(config, False)
        config.model._partial_ = True
        made = instantiate(config.model, _convert_="all")
        before = len(found)
        scheduled = dict(made.keywords) | {"scheduler": partial(LinearLR, total_iters=3)}
        watched(partial(made.func, **scheduled), found)().configure_optimizers()
        assert len(found) > before + 1, name
    return found


def test_the_families_call_factories_as_the_protocols_say(calls):
    for slot, factory, positional, keywords in calls:
        assert (positional, keywords) == called_with(slot), f"{slot.__name__}: {factory}"


def test_the_parts_accept_what_the_protocols_say(calls):
    for slot, factory, _, _ in calls:
        known = constructor(factory.func)
        positional, keywords = called_with(slot)
        free = [name for name, p in known.items() if p.kind is not KEYWORD]
        assert len(free) >= positional
        assert keywords <= known.keys(), f"{slot.__name__}: {factory.func.__name__}"


def test_every_protocol_is_a_slot_of_a_model_and_says_what_its_arguments_are(calls):
    seen = {slot for slot, *_ in calls}
    found = [file.name[:-3] for file in (files("genexp.families") / "slots").iterdir() if file.name.endswith(".py")]
    for module in (import_module(f"genexp.families.slots.{name}") for name in found):
        for name, slot in vars(module).items():
            if getattr(slot, "_is_protocol", False) and slot.__module__ == module.__name__:
                assert slot in seen, name
                arguments, _, returns = slot.__call__.__doc__.partition("Returns:")
                assert returns.strip(), name
                for argument in list(inspect.signature(slot.__call__).parameters)[1:]:
                    assert re.search(rf"^ +(\w+, )*{argument}(, \w+)*: ", arguments, re.M), f"{name}: {argument}"


def test_a_setting_that_the_family_gives_is_refused(compose_train):
    """Else it would be accepted, recorded and lost."""
    config = compose_train("model=transformer", "data=digits", "+model.network.levels=3")
    with pytest.raises(
        ConfigError, match=r"model\.network\.levels=3: Transformer is given levels by the model; leave it out"
    ):
        record.instantiate(config, "model", [])
