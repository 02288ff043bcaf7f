"""Implicit density: a generator that can only be sampled from, trained against a discriminator (Goodfellow et al. 2014)."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from genexp.families.base import GenerativeModule
from genexp.probability.observation import promoted
from genexp.probability.quantize import from_symmetric, symmetric


class Objective(ABC):
    """Losses of the two players, from the discriminator's logits: D(x) = sigmoid(logit)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1): ``(B,)``."""
        return F.softplus(-real) + F.softplus(fake)

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """What the generator minimises: ``(B,)``."""


class Minimax(Objective):
    """The zero-sum game: the generator minimises log(1 - D(G(z))), whose gradient vanishes where D is sure."""

    def generator(self, fake: Tensor) -> Tensor:
        return -F.softplus(fake)


class NonSaturating(Objective):
    """The loss used in practice: the generator minimises -log D(G(z)) (Goodfellow et al. 2014, section 3)."""

    def generator(self, fake: Tensor) -> Tensor:
        return F.softplus(-fake)


class GAN(GenerativeModule):
    """Generative adversarial network; one training step updates the discriminator, then the generator.

    Args:
        generator: called with ``shape``, ``levels``, ``latent_dim``, ``num_classes``; makes the network
            z ``(B, latent_dim)``, y -> reals ``(B, *shape)``, in [-1, 1] for data with levels.
        discriminator: called with ``shape``, ``num_classes``; makes the network reals ``(B, *shape)``, y -> logits ``(B,)``.
        objective: losses of both.
        latent_dim: dimensions of z ~ N(0, I).
        generator_optimizer: called with the generator's parameters.
        discriminator_optimizer: called with the discriminator's parameters.
        base: see :class:`GenerativeModule`.
    """

    players = ("generator", "discriminator")

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        objective: Objective,
        latent_dim: int,
        generator_optimizer: Callable[..., Optimizer],
        discriminator_optimizer: Callable[..., Optimizer],
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if self.scheduler_factory is not None:
            raise ValueError("scheduler: a GAN has two optimizers, and no scheduler; remove it")
        self.automatic_optimization = False
        self.objective, self.latent_dim = objective, latent_dim
        self.generator = generator(
            shape=self.shape, levels=self.levels, latent_dim=latent_dim, num_classes=self.label_width
        )
        self.discriminator = discriminator(shape=self.shape, num_classes=self.label_width)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self._batches: list[tuple[Tensor, Tensor | None, Tensor]] = []

    def generate(self, n: int, y: Tensor | None) -> Tensor:
        """G(z, y) for z ~ N(0, I): reals ``(n, *shape)``. ``y`` as the networks take it."""
        return self.generator(self.noise(n, self.latent_dim), y)

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The discriminator's logits ``(B,)``, in float32 at least."""
        return promoted(self.discriminator(x, y))

    def play(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Losses of both players and what the discriminator believes, from its logits ``(B,)`` on real and fake."""
        return {
            "loss": self.objective.generator(fake),
            "discriminator_loss": self.objective.discriminator(real, fake),
            "discriminator_real": torch.sigmoid(real).detach(),
            "discriminator_fake": torch.sigmoid(fake).detach(),
        }

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``, which the generator minimises, ``discriminator_loss``, and the mean D(x) and D(G(z)): ``(B,)`` each.
        Training does not minimise their sum; see :meth:`training_step`."""
        y = self.labels(y)
        fake = self.generate(len(x), y)
        return self.play(self.logits(symmetric(x, self.levels), y), self.logits(fake, y))

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """Both updates, once the batches of a step are there; empty before. Where they are several, their fakes are made
        once for each player, so that the memory is that of one batch."""
        x, y = batch
        self._batches.append((x, self.labels(y), self.noise(len(x), self.latent_dim)))
        self.count(x, batch_idx)
        if not self.at_boundary:
            return {}
        batches, self._batches = self._batches, []
        single, self._share = len(batches) == 1, 1 / len(batches)
        generator_optimizer, discriminator_optimizer = self.optimizers()
        totals: dict[str, list[Tensor]] = {}

        self.active_optimizer = 1
        discriminator_optimizer.zero_grad()
        for x, y, z in batches:
            with torch.set_grad_enabled(single):
                fake = self.generator(z, y)
            losses = self.play(self.logits(symmetric(x, self.levels), y), self.logits(fake.detach(), y))
            losses = self.reduce({name: value for name, value in losses.items() if name != "loss"})
            self.manual_backward(losses["discriminator_loss"])
            for name, value in losses.items():
                totals.setdefault(name, []).append(value.detach())
        discriminator_optimizer.step()

        self.active_optimizer = 0
        self.discriminator.requires_grad_(False)
        generator_optimizer.zero_grad()
        for _, y, z in batches:
            fake = fake if single else self.generator(z, y)
            loss = self.objective.generator(self.logits(fake, y)).mean()
            self.manual_backward(loss)
            totals.setdefault("loss", []).append(loss.detach())
        generator_optimizer.step()
        self.discriminator.requires_grad_(True)
        return {name: torch.stack(values).mean() for name, values in totals.items()}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        norm = self.gradient_clip_norms[self.players[self.active_optimizer]]
        if norm is not None:
            self.clip_gradients(optimizer, norm, "norm")

    def averaged(self) -> set[str]:
        """Those of the generator: the average is what is sampled from, and no player plays against it."""
        return {name for name in super().averaged() if name.startswith("generator.")}

    def configure_optimizers(self) -> list[Optimizer]:
        return [
            self.generator_optimizer(self.generator.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    def draw(self, n: int, y: Tensor | None) -> Tensor:
        """x = G(z), rounded to the nearest level."""
        return from_symmetric(self.generate(n, y), self.levels)
