"""Families of several players, each with a network and an optimizer of its own."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from genexp.families.base import GenerativeModule


class PlayersModule(GenerativeModule):
    """A family that steps its optimizers itself. Each player is a network, under its name in :attr:`players`.

    Args:
        base: see :class:`GenerativeModule`; ``scheduler`` is called with every optimizer.
    """

    players: ClassVar[tuple[str, ...]]

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.automatic_optimization = False
        self.gradient_clip_norms: dict[str, float | None] = dict.fromkeys(self.players)
        """Largest norm of each player's gradient; None for any."""
        self.active_optimizer = 0
        """Which optimizer the next backward pass is for."""
        self._logged: dict[str, list[Tensor]] = {}

    def note(self, values: dict[str, Tensor]) -> None:
        """Keep the means of values of any shape, to be logged for this training step."""
        for name, value in values.items():
            self._logged.setdefault(name, []).append(value.detach().mean())

    def noted(self) -> dict[str, Tensor]:
        """The mean of what was noted since the last call, by name."""
        logged, self._logged = self._logged, {}
        return {name: torch.stack(values).mean() for name, values in logged.items()}

    def syncing(self, last: bool) -> AbstractContextManager[Any]:
        """Inside, gradients are summed over the processes only in the ``last`` backward pass for a player's update."""
        strategy = self.trainer.strategy
        return nullcontext() if last or not isinstance(strategy, ParallelStrategy) else strategy.block_backward_sync()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        player = self.players[self.trainer.optimizers.index(optimizer)]
        norm = get_total_norm([p.grad for p in getattr(self, player).parameters() if p.grad is not None])
        # float16 overflows now and then: its scaler leaves that update out, and so does the record
        self.note({f"{player}_gradient_norm": norm.nan_to_num(0.0, 0.0, 0.0)})
        if (largest := self.gradient_clip_norms[player]) is not None:
            self.clip_gradients(optimizer, largest, "norm")

    def with_schedulers(self, optimizers: Sequence[Optimizer]) -> tuple[Sequence[Optimizer], Sequence[Any]]:
        """What ``configure_optimizers`` returns."""
        return optimizers, [] if self.scheduler_factory is None else [self.scheduler_factory(o) for o in optimizers]

    def step_schedulers(self) -> None:
        """At the end of a training step."""
        for scheduler in self.lr_schedulers() or ():
            scheduler.step()
