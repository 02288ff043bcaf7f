"""Initial weights of a whole network."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def initialise(module: nn.Module, weight: Callable[[Tensor], Any] | None) -> None:
    """Apply ``weight`` (e.g. ``torch.nn.init.orthogonal_``) to every parameter of at least two axes in ``module``, but gains,
    and zero the biases. None keeps PyTorch's own initialisation."""
    if weight is None:
        return
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim > 1 and not name.endswith("gain"):
            weight(parameter)
