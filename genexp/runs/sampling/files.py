"""What the ways of sampling share: labels, options, and the files they write."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genexp.families.base import GenerativeModule, knobs_of
from genexp.record.errors import ConfigError, nearest


def labels_of(model: GenerativeModule, own: Tensor | None, given: int | list[int] | None, n: int) -> Tensor | None:
    """Labels ``(n,)`` for a conditional model: ``given``, or else those of the examples."""
    if not model.conditional:
        if given is not None:
            raise ConfigError(f"y={given}: the model is unconditional, train with model.conditional=true")
        return None
    if given is None:
        return own
    y = torch.as_tensor(given)
    if y.is_floating_point() or y.shape not in ((), (n,)) or y.min() < 0 or y.max() >= model.num_classes:
        raise ConfigError(f"y={given}: must be one label, or a list of n={n}, in [0, {model.num_classes - 1}]")
    return y.expand(n)


def check_options(method: Callable[..., Any], knobs: Mapping[str, Any], what: str) -> None:
    """Refuse options that a method of the model does not have.

    Args:
        method: see :func:`genexp.families.base.knobs_of`.
        knobs: options by name.
        what: has them, for the message.
    """
    known = knobs_of(method)
    for knob in () if known is None else knobs.keys() - set(known):
        has = f"has the knobs {', '.join(known)}" if known else "has no knobs"
        raise ConfigError(f"knobs.{knob}: {what} {has}.{nearest(knob, known)}")


def save(output: Path, arrays: dict[str, Tensor]) -> list[Path]:
    """Write each tensor to ``output`` with its suffix, e.g. ``.npy``; the files written."""
    output.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, array in arrays.items():
        paths.append(output.with_name(output.name + suffix))
        np.save(paths[-1], array.cpu().numpy())
    return paths
