"""Implicit density: a generator that can only be sampled from, trained against a discriminator (Goodfellow et al. 2014)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genexp.families.capabilities import AdversarialGame, LatentDecoder
from genexp.families.training.players import PlayersModule
from genexp.probability.adversarial.gradient_penalty import GradientPenalty
from genexp.probability.adversarial.objectives import AuxiliaryClassifier, Objective, pack, unpack
from genexp.probability.observation.base import promoted
from genexp.probability.quantize import from_symmetric, symmetric, symmetric_to_levels


@dataclass
class Batch:
    """Real examples as reals ``(B, *shape)``, labels ``(B,)`` or None, and latents for the discriminator's update and each
    of the generator's ``(B, R, latent_dim)``."""

    real: Tensor
    y: Tensor | None
    z: Tensor


class GAN(PlayersModule, LatentDecoder, AdversarialGame):
    """Generative adversarial network.

    One training step is one update of the generator. Before it the discriminator is updated ``discriminator_steps`` times,
    each time on real examples of its own (fewer times in the last step of an epoch, if no more are left). Real and generated
    examples pass the discriminator apart, so that batch normalisation never mixes them.

    Args:
        generator: called with ``shape``, ``levels``, ``latent_dim``, ``num_classes``; makes the network
            z ``(B, latent_dim)``, y -> reals ``(B, *shape)``, in [-1, 1] for data with levels.
        discriminator: called with ``shape``, ``num_classes``, ``num_outputs``; makes the network reals ``(B, *shape)``, y ->
            ``(B, num_outputs)``: the logit, and the class logits of an auxiliary classifier.
        objective: losses of both.
        penalties: terms of the discriminator's loss by name.
        augmentation: of all that the discriminator sees, or None. It has ``draws``, the uniform numbers that it needs for an
            example, and maps x ``(B, *shape)`` and u ``(B, draws)`` to ``(B, *shape)``, differentiable in x.
        auxiliary: classifies real and generated examples in place of giving the discriminator their labels, or None.
        latent_dim: dimensions of z ~ N(0, I).
        packing: examples that the discriminator judges at once, at least 1.
        discriminator_steps: its updates for one of the generator, at least 1.
        generator_batches: the generator's update has so many times the examples of the discriminator's, at least 1.
        simultaneous: the generator's gradient is that against the discriminator before its last update, as if both moved at
            once; else they alternate.
        weight_clip: largest absolute value of the discriminator's parameters (Arjovsky et al. 2017), above 0; None for any.
        generator_optimizer, discriminator_optimizer: called with the player's parameters.
        base: see :class:`PlayersModule`; schedulers count generator updates.

    Raises:
        ValueError: an argument is out of range, or the model is conditional and packs examples.
    """

    players = ("generator", "discriminator")

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        objective: Objective,
        penalties: Mapping[str, GradientPenalty],
        augmentation: nn.Module | None,
        auxiliary: AuxiliaryClassifier | None,
        latent_dim: int,
        packing: int,
        discriminator_steps: int,
        generator_batches: int,
        simultaneous: bool,
        weight_clip: float | None,
        generator_optimizer: Callable[..., Optimizer],
        discriminator_optimizer: Callable[..., Optimizer],
        **base: Any,
    ) -> None:
        super().__init__(**base)
        counts = {
            "packing": packing,
            "discriminator_steps": discriminator_steps,
            "generator_batches": generator_batches,
        }
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if weight_clip is not None and not weight_clip > 0:
            raise ValueError(f"weight_clip={weight_clip}: must be above 0, or null for no clipping")
        if packing > 1 and self.conditional:
            raise ValueError(
                f"packing={packing}: the examples of a pack have labels of their own; set conditional=false"
            )
        if auxiliary is not None and not self.conditional:
            raise ValueError("auxiliary: a classifier needs labels; set conditional=true, or auxiliary=null")
        self.objective, self.penalties, self.augmentation = objective, dict(penalties), augmentation
        self.auxiliary, self.latent_dim, self.packing = auxiliary, latent_dim, packing
        self.discriminator_steps, self.generator_batches = discriminator_steps, generator_batches
        self.simultaneous, self.weight_clip = simultaneous, weight_clip
        self.generator = generator(
            shape=self.shape, levels=self.levels, latent_dim=latent_dim, num_classes=self.label_width
        )
        channels, *sides = self.shape
        self.discriminator = discriminator(
            shape=(packing * channels, *sides),
            num_classes=self.label_width if auxiliary is None else 0,
            num_outputs=1 if auxiliary is None else 1 + self.label_width,
        )
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.updates = 0
        """Updates of the discriminator so far."""
        self._batches: list[Batch] = []
        self.differentiates_twice = bool(self.penalties)
        self.reference_lines = {"discriminator_loss": (objective.equilibrium, "no better than chance")}

    def seen(self, x: Tensor) -> Tensor:
        """Reals ``(B, *shape)`` as the discriminator sees them: augmented and packed."""
        if self.augmentation is not None:
            x = self.augmentation(x, self.uniform(len(x), self.augmentation.draws))
        return pack(x, self.packing)

    def judge(self, seen: Tensor, y: Tensor | None) -> Tensor:
        """The discriminator's outputs, in float32 at least: the logits in column 0, class logits in the others."""
        return promoted(self.discriminator(seen, y if self.auxiliary is None else None))

    def discriminator_terms(self, real: Tensor, fake: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Terms of the discriminator's loss but for the penalties, from its outputs on real and fake: ``(groups,)`` each."""
        terms = {"discriminator_loss": self.objective.discriminator(real[:, 0], fake[:, 0])}
        if self.auxiliary is not None:
            terms["discriminator_class_loss"] = self.auxiliary.discriminator(real[:, 1:], fake[:, 1:], y)
        return terms

    def generator_terms(self, fake: Tensor, real: Tensor | None, y: Tensor | None) -> dict[str, Tensor]:
        """Terms of the generator's loss, from the discriminator's outputs on fake and, if the objective needs it, real:
        ``(groups,)`` each."""
        terms = {"loss": self.objective.generator(fake[:, 0], None if real is None else real[:, 0])}
        if self.auxiliary is not None:
            terms["class_loss"] = self.auxiliary.generator(fake[:, 1:], y)
        return terms

    def losses_of_discriminator(
        self, batch: Batch, fake: Tensor, update: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms of the discriminator's loss in an update, penalties among them where it has some; and what it believes."""
        seen = self.seen(batch.real), self.seen(fake)
        real_outputs, fake_outputs = (self.judge(x, batch.y) for x in seen)
        terms = self.discriminator_terms(real_outputs, fake_outputs, batch.y)
        for name, penalty in self.penalties.items():
            terms[name] = fake.new_zeros(())
            if update % penalty.every == 0:
                terms[name] = penalty(lambda x: self.judge(x, batch.y)[:, 0], *seen, self.uniform)
        return terms, self.beliefs(real_outputs, fake_outputs)

    def losses_of_generator(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Terms of the generator's loss, but for its penalties."""
        outputs = self.judge(self.seen(fake), batch.y)
        real = self.judge(self.seen(batch.real), batch.y) if self.objective.needs_real else None
        return self.generator_terms(outputs, real, batch.y)

    def generator_penalties(self, batch: Batch, draw: int) -> dict[str, Tensor]:
        """Further terms of the generator's loss in training, ``(B,)`` or a scalar, on the latents ``batch.z[:, draw]``."""
        return {}

    @torch.no_grad()
    def beliefs(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's logits on real and fake, and how often it is right: ``(groups,)`` each."""
        right = self.objective.accuracy(real[:, 0], fake[:, 0])
        names = ("real_logit", "fake_logit", "real_accuracy", "fake_accuracy")
        return dict(zip(names, (real[:, 0], fake[:, 0], *right), strict=True))

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Both players' losses without penalties, and what the discriminator believes, ``(B,)`` each; of a pack, all its
        examples have the same. ``loss`` is the generator's. Training does not minimise their sum; see
        :meth:`training_step`."""
        y = self.labels(y)
        fake = self.judge(self.seen(self.generator(self.sample_prior(len(x)), y)), y)
        real = self.judge(self.seen(symmetric(x, self.levels)), y)
        terms = self.generator_terms(fake, real, y) | self.discriminator_terms(real, fake, y) | self.beliefs(real, fake)
        return {name: unpack(value, self.packing, len(x)) for name, value in terms.items()}

    @property
    def batches_per_step(self) -> int:
        return self.accumulate_batches * self.discriminator_steps

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """The discriminator's gradient on this batch, its update once the batches of one are there, and at the end of the step
        the generator's update, on the batches of the last one. Returns the means over the step, and nothing before its end."""
        x, y = batch
        z = self.noise(len(x), self.generator_batches, self.latent_dim)
        self.count(x, batch_idx)
        position = batch_idx % self.batches_per_step
        before = position - position % self.accumulate_batches
        size = min(self.accumulate_batches, self.batches_of_step(batch_idx) - before)
        self._batches.append(Batch(symmetric(x, self.levels), self.labels(y), z))
        is_last = len(self._batches) == size

        fake = self._criticise(self._batches[-1], size, last=is_last, kept=self.at_boundary and size == 1)
        generator_optimizer, discriminator_optimizer = self.optimizers()
        if is_last and not (self.simultaneous and self.at_boundary):
            self._update_discriminator(discriminator_optimizer)
        if self.at_boundary:
            self._generate(fake)
            if self.simultaneous:
                self._update_discriminator(discriminator_optimizer)
            generator_optimizer.step()
            generator_optimizer.zero_grad()
            self.step_schedulers()
        if is_last:
            self._batches = []
        return self.noted() if self.at_boundary else {}

    def _criticise(self, batch: Batch, size: int, last: bool, kept: bool) -> Tensor:
        """Add the discriminator's gradient on a batch, one of ``size``, the ``last`` of an update or not. Returns the fakes,
        with their graph if they are ``kept`` for the generator."""
        self.active_optimizer, self._share = 1, 1 / size
        with torch.set_grad_enabled(kept):
            fake = self.generator(batch.z[:, 0], batch.y)
        terms, believed = self.losses_of_discriminator(batch, fake.detach(), self.updates)
        with self.syncing(last):
            self.manual_backward(sum(self.reduce(terms).values()))
        self.note(terms | believed)
        self.note(self.objective.signs_of_collapse(terms["discriminator_loss"].detach(), fake.detach(), batch.real))
        return fake

    def _generate(self, fake: Tensor) -> None:
        """The generator's gradient on the batches of the discriminator's last update; ``fake`` is kept from that, if it had one
        batch only. Otherwise its fakes are made again, so that the memory is that of one batch."""
        self.active_optimizer, pieces = 0, len(self._batches) * self.generator_batches
        self._share = 1 / pieces
        self.discriminator.requires_grad_(False)
        for index, batch in enumerate(self._batches):
            for draw in range(self.generator_batches):
                if len(self._batches) > 1 or draw > 0:
                    fake = self.generator(batch.z[:, draw], batch.y)
                terms = self.losses_of_generator(batch, fake) | self.generator_penalties(batch, draw)
                with self.syncing(last=index * self.generator_batches + draw == pieces - 1):
                    self.manual_backward(sum(self.reduce(terms).values()))
                self.note(terms)
        self.discriminator.requires_grad_(True)

    def _update_discriminator(self, optimizer: Optimizer) -> None:
        optimizer.step()
        optimizer.zero_grad()
        self.updates += 1
        self.after_update("discriminator")

    @torch.no_grad()
    def after_update(self, player: str) -> None:
        if player == "discriminator" and self.weight_clip is not None:
            for parameter in self.discriminator.parameters():
                parameter.clamp_(-self.weight_clip, self.weight_clip)

    def player_loss(self, player: str, x: Tensor, y: Tensor | None, update: int) -> Tensor:
        batch = Batch(symmetric(x, self.levels), self.labels(y), self.noise(len(x), 1, self.latent_dim))
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

    def draw(self, n: int, y: Tensor | None, *, truncation: float | None = None) -> Tensor:
        """x = G(z), rounded to the nearest level.

        Args:
            n, y: see :meth:`sample`.
            truncation: largest absolute value of a number in z, above 0: smaller values trade variety for quality (Brock,
                Donahue, Simonyan, ICLR 2019, section 3.1). None for any.
        """
        if truncation is not None and not truncation > 0:
            raise ValueError(f"truncation={truncation}: must be above 0")
        z = self.sample_prior(n)
        if truncation is not None:
            nn.init.trunc_normal_(z, a=-truncation, b=truncation)
        return self.decode(z, y)

    def sample_prior(self, n: int) -> Tensor:
        return self.noise(n, self.latent_dim)

    def decode(self, z: Tensor, y: Tensor | None, temperature: float = 1.0) -> Tensor:
        return from_symmetric(self.generator(z, y), self.levels)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """G(z, y) before it is rounded."""
        return symmetric_to_levels(self.generator(z, y), self.levels)
