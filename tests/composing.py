"""The composed config of ``genexp train`` for some overrides. Composing takes most of a small test: so each is composed once."""

from copy import deepcopy
from functools import cache

from hydra import compose, initialize_config_module


@cache
def _composed(*overrides):
    with initialize_config_module("genexp.conf", version_base="1.3"):
        return compose("train", ["name=test", *overrides])


def compose_train(*overrides):
    """A copy of its own for each caller, with interpolations that are not resolved yet."""
    return deepcopy(_composed(*overrides))
