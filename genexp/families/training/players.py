"""Families of several players, each with a network and an optimizer of its own."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
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

    def note(self, values: dict[str, Tensor], weight: float = 1.0) -> None:
        """Keep the means of values of any shape, times the ``weight`` of their batch, to be logged for this training step."""
        for name, value in values.items():
            mean = value.detach().mean()
            self._logged.setdefault(name, []).append(mean if weight == 1 else mean * weight)

    @property
    def pending_values(self) -> dict[str, Tensor]:
        """By name, what was noted last since :meth:`noted` was called."""
        return {name: values[-1] for name, values in self._logged.items()}

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

    def make_optimizer(self, player: str) -> Optimizer:
        """A new one of a player's parameters, by ``<player>_optimizer``."""
        return getattr(self, f"{player}_optimizer")(getattr(self, player).parameters())

    def configure_optimizers(self) -> tuple[Sequence[Optimizer], Sequence[Any]]:
        optimizers = [self.make_optimizer(player) for player in self.players]
        return optimizers, [] if self.scheduler_factory is None else [self.scheduler_factory(o) for o in optimizers]

    def step_schedulers(self) -> None:
        """At the end of a training step."""
        for scheduler in self.lr_schedulers() or ():
            scheduler.step()

    @abstractmethod
    def player_loss(self, player: str, x: Tensor, y: Tensor | None, update: int) -> Tensor:
        """What a player minimises in an update of it alone, on x ``(B, *shape)`` in the data space: a scalar."""

    def after_update(self, player: str) -> None:
        """Called after each update of a player."""

    def respond(self, player: str, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Train one player against the others, which stay as they are.

        Args:
            player: its name. Only its parameters require gradients.
            batches: x ``(B, *shape)`` in the data space and y ``(B,)`` or None, on the device of the model; an update for each,
                by a new optimizer of the player's kind.
        """
        optimizer = self.make_optimizer(player)
        for update, (x, y) in enumerate(batches):
            optimizer.zero_grad()
            self.player_loss(player, x, y, update).backward()
            optimizer.step()
            self.after_update(player)
