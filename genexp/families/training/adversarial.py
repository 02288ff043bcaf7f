"""How two players learn in turn: the discriminator some updates, then the generator one, each on batches of its own."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genexp.families.training.players import PlayersModule
from genexp.ranges import at_least


@dataclass
class Batch:
    """Real examples as reals ``(B, *shape)``, labels ``(B,)`` or None, latents for the discriminator's update and each
    of the generator's ``(B, R, latent_dim)``, and the weight of its means among those of other processes."""

    real: Tensor
    y: Tensor | None
    z: Tensor
    weight: float = 1.0


class AdversarialModule(PlayersModule):
    """A game of ``generator`` and ``discriminator``, networks under these names.

    One training step is one update of the generator. Before it the discriminator is updated ``discriminator_steps`` times,
    each time on real examples of its own (fewer times in the last step of an epoch, if no more are left).

    Args:
        discriminator_steps: its updates for one of the generator, at least 1.
        generator_batches: the generator's update has so many times the examples of the discriminator's, at least 1.
        simultaneous: the generator's gradient is that against the discriminator before its last update, as if both moved at
            once; else they alternate.
        base: see :class:`PlayersModule`.

    Raises:
        ValueError: a number is below 1.
    """

    players = ("generator", "discriminator")
    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, *, discriminator_steps: int, generator_batches: int, simultaneous: bool, **base: Any) -> None:
        super().__init__(**base)
        at_least(1, discriminator_steps=discriminator_steps, generator_batches=generator_batches)
        self.discriminator_steps, self.generator_batches = discriminator_steps, generator_batches
        self.simultaneous = simultaneous
        self.updates = 0
        """Updates of the discriminator so far."""
        self._batches: list[Batch] = []
        """Of the update that is under way."""

    # --- what the game is --------------------------------------------------------------------------------------

    @abstractmethod
    def batch(self, x: Tensor, y: Tensor | None, draws: int) -> Batch:
        """x ``(B, *shape)`` in the data space and y, as the players see them, with ``draws`` latents of each example."""

    @abstractmethod
    def losses_of_discriminator(
        self, batch: Batch, fake: Tensor, update: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms of the discriminator's loss in an update, of any shape; and what else is to be logged of it."""

    @abstractmethod
    def losses_of_generator(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Terms of the generator's loss, but for its penalties."""

    def generator_penalties(self, batch: Batch, draw: int) -> dict[str, Tensor]:
        """Further terms of the generator's loss in training, ``(B,)`` or a scalar, on the latents ``batch.z[:, draw]``."""
        return {}

    # --- a training step ---------------------------------------------------------------------------------------

    @property
    def batches_per_step(self) -> int:
        return self.accumulate_batches * self.discriminator_steps

    def _batches_of_update(self, batch_idx: int) -> int:
        """How many batches the discriminator's update of this batch has; fewer at the end of an epoch."""
        position = batch_idx % self.batches_per_step
        before = position - position % self.accumulate_batches
        return min(self.accumulate_batches, self.batches_of_step(batch_idx) - before)

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """The discriminator's gradient on this batch, its update once the batches of one are there, and at the end of the step
        the generator's update, on the batches of the last one. Returns the means over the step, and nothing before its end."""
        x, y = batch
        self._batches.append(self.batch(x, y, self.generator_batches))
        self._batches[-1].weight = self.weight(x)
        self.count(x, batch_idx)
        size = self._batches_of_update(batch_idx)
        ends_update = len(self._batches) == size
        fake = self._criticise(self._batches[-1], size, last=ends_update, kept=self.at_boundary and size == 1)
        if ends_update:
            if self.at_boundary:
                self._update_both(fake)
            else:
                self._update_discriminator()
            self._batches = []
        return self.noted() if self.at_boundary else {}

    def _criticise(self, batch: Batch, size: int, last: bool, kept: bool) -> Tensor:
        """Add the discriminator's gradient on a batch, one of ``size``, the ``last`` of an update or not. Returns the fakes,
        with their graph if they are ``kept`` for the generator."""
        self.active_optimizer, self._share = 1, batch.weight / size
        with torch.set_grad_enabled(kept):
            fake = self.generator(batch.z[:, 0], batch.y)
        terms, noted = self.losses_of_discriminator(batch, fake.detach(), self.updates)
        with self.syncing(last):
            self.manual_backward(sum(self.reduce(terms).values()))
        self.note(terms | noted, batch.weight)
        return fake

    def _update_both(self, fake: Tensor) -> None:
        """The last update of a step: one after the other, or the generator's gradient before either moves."""
        if not self.simultaneous:
            self._update_discriminator()
        self._generate(fake)
        if self.simultaneous:
            self._update_discriminator()
        optimizer, _ = self.optimizers()
        optimizer.step()
        optimizer.zero_grad()
        self.step_schedulers()

    def _generate(self, fake: Tensor) -> None:
        """The generator's gradient on the batches of the discriminator's last update; ``fake`` is kept from that, if it had one
        batch only. Otherwise its fakes are made again, so that the memory is that of one batch."""
        self.active_optimizer, pieces = 0, len(self._batches) * self.generator_batches
        self.discriminator.requires_grad_(False)
        for index, batch in enumerate(self._batches):
            self._share = batch.weight / pieces
            for draw in range(self.generator_batches):
                if len(self._batches) > 1 or draw > 0:
                    fake = self.generator(batch.z[:, draw], batch.y)
                terms = self.losses_of_generator(batch, fake) | self.generator_penalties(batch, draw)
                with self.syncing(last=index * self.generator_batches + draw == pieces - 1):
                    self.manual_backward(sum(self.reduce(terms).values()))
                self.note(terms, batch.weight)
        self.discriminator.requires_grad_(True)

    def _update_discriminator(self) -> None:
        _, optimizer = self.optimizers()
        optimizer.step()
        optimizer.zero_grad()
        self.updates += 1
        self.after_update("discriminator")

    # --- one player alone --------------------------------------------------------------------------------------

    def player_loss(self, player: str, x: Tensor, y: Tensor | None, update: int) -> Tensor:
        batch = self.batch(x, y, 1)
        with torch.set_grad_enabled(player == "generator"):
            fake = self.generator(batch.z[:, 0], batch.y)
        if player == "generator":
            terms = self.losses_of_generator(batch, fake)
        else:
            terms, _ = self.losses_of_discriminator(batch, fake, update)
        return sum(self.reduce(terms).values())

    def averaged(self) -> set[str]:
        """Those of the generator: the average is what is sampled from, and no player plays against it."""
        return {name for name in super().averaged() if name.startswith("generator.")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["updates"] = self.updates

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.updates = checkpoint["updates"]
