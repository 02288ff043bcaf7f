"""How families call the factories in their slots."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

Made = TypeVar("Made")


def made_by(factory: Callable[..., Made], **given: Any) -> Made:
    """What a factory makes of what the family gives it.

    Args:
        factory: of a slot, e.g. a partial with the settings of a config.
        given: by name, as the slot's Protocol says.

    Raises:
        ValueError: the factory has a setting of such a name already, which would be lost.
    """
    if isinstance(factory, partial):
        for name in given.keys() & factory.keywords.keys():
            part = getattr(factory.func, "__name__", factory.func)
            raise ValueError(f"{name}={factory.keywords[name]}: {part} is given {name} by the model; leave it out")
    return factory(**given)
