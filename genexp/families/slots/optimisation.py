"""The slots of every family that is trained."""

from collections.abc import Iterable
from typing import Protocol

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class OptimizerFactory(Protocol):
    """Makes an optimizer, e.g. ``partial(torch.optim.Adam, lr=1e-3)``."""

    def __call__(self, params: Iterable[nn.Parameter], /) -> Optimizer:
        """Called when training begins, and for a player again whenever it alone is trained against the others.

        Args:
            params: of the model, or of one of its players.

        Returns:
            An optimizer of these parameters.
        """


class SchedulerFactory(Protocol):
    """Makes a schedule of the learning rate, e.g. ``partial(torch.optim.lr_scheduler.LinearLR, total_iters=1_000)``."""

    def __call__(self, optimizer: Optimizer, /) -> LRScheduler:
        """Called once for each optimizer.

        Args:
            optimizer: whose learning rate it is.

        Returns:
            A scheduler; its ``step()`` is called once per training step.
        """
