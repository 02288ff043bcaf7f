"""Implicit density: a generator that can only be sampled from, trained against a discriminator (Goodfellow et al. 2014)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genexp.families.capabilities import AdversarialGame, LatentDecoder
from genexp.families.slots.adversarial import DiscriminatorFactory, GeneratorFactory
from genexp.families.slots.calling import made_by
from genexp.families.slots.optimisation import OptimizerFactory
from genexp.families.training.adversarial import AdversarialModule, Batch
from genexp.probability.adversarial.gradient_penalty import GradientPenalty
from genexp.probability.adversarial.objectives import AuxiliaryClassifier, Objective, pack, unpack
from genexp.probability.observation.base import promoted
from genexp.probability.quantize import from_symmetric, symmetric, symmetric_to_levels
from genexp.ranges import at_least, positive


class GAN(AdversarialModule, LatentDecoder, AdversarialGame):
    """Generative adversarial network.

    Real and generated examples pass the discriminator apart, so that batch normalisation never mixes them.

    Args:
        generator: :class:`~genexp.families.slots.adversarial.GeneratorFactory`.
        discriminator: :class:`~genexp.families.slots.adversarial.DiscriminatorFactory`.
        objective: losses of both.
        penalties: terms of the discriminator's loss by name.
        augmentation: of all that the discriminator sees, or None. It has ``draws``, the uniform numbers that it needs for an
            example, and maps x ``(B, *shape)`` and u ``(B, draws)`` to ``(B, *shape)``, differentiable in x.
        auxiliary: classifies real and generated examples in place of giving the discriminator their labels, or None.
        latent_dim: dimensions of z ~ N(0, I).
        packing: examples that the discriminator judges at once, at least 1.
        weight_clip: largest absolute value of the discriminator's parameters (Arjovsky et al. 2017), above 0; None for any.
        generator_optimizer, discriminator_optimizer: :class:`~genexp.families.slots.optimisation.OptimizerFactory` of the
            player's parameters.
        training: see :class:`~genexp.families.training.adversarial.AdversarialModule`; schedulers count generator updates.

    Raises:
        ValueError: an argument is out of range, or the model is conditional and packs examples.
    """

    def __init__(
        self,
        *,
        generator: GeneratorFactory,
        discriminator: DiscriminatorFactory,
        objective: Objective,
        penalties: Mapping[str, GradientPenalty],
        augmentation: nn.Module | None,
        auxiliary: AuxiliaryClassifier | None,
        latent_dim: int,
        packing: int,
        weight_clip: float | None,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        at_least(1, packing=packing, latent_dim=latent_dim)
        if weight_clip is not None:
            positive(weight_clip=weight_clip, hint=", or null for no clipping")
        if packing > 1 and self.conditional:
            raise ValueError(
                f"packing={packing}: the examples of a pack have labels of their own; set conditional=false"
            )
        if auxiliary is not None and not self.conditional:
            raise ValueError("auxiliary: a classifier needs labels; set conditional=true, or auxiliary=null")
        self.objective, self.penalties, self.augmentation = objective, dict(penalties), augmentation
        self.auxiliary, self.latent_dim, self.packing = auxiliary, latent_dim, packing
        self.weight_clip = weight_clip
        self.generator = made_by(
            generator, shape=self.shape, levels=self.levels, latent_dim=latent_dim, num_classes=self.label_width
        )
        channels, *sides = self.shape
        self.discriminator = made_by(
            discriminator,
            shape=(packing * channels, *sides),
            num_classes=self.label_width if auxiliary is None else 0,
            num_outputs=1 if auxiliary is None else 1 + self.label_width,
        )
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.differentiates_twice = bool(self.penalties)
        self.reference_lines = {"discriminator_loss": (objective.equilibrium, "no better than chance")}

    def batch(self, x: Tensor, y: Tensor | None, draws: int) -> Batch:
        return Batch(symmetric(x, self.levels), self.labels(y), self.noise(len(x), draws, self.latent_dim))

    def seen(self, packs: Tensor) -> Tensor:
        """Packs ``(groups, packing C, ...)`` as the discriminator sees them: every example of them augmented, with new draws at
        every call."""
        if self.augmentation is None:
            return packs
        x = packs.reshape(-1, *self.shape)
        return self.augmentation(x, self.uniform(len(x), self.augmentation.draws)).reshape(packs.shape)

    def judge(self, packs: Tensor, y: Tensor | None) -> Tensor:
        """What the discriminator makes of packs of examples after their augmentation, in float32 at least: the logits in column 0,
        class logits in the others."""
        return promoted(self.discriminator(self.seen(packs), y if self.auxiliary is None else None))

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
        """Terms of the discriminator's loss in an update, penalties among them where it has some; what it believes, and the
        signs of collapse. A penalty augments its points anew, as that of StyleGAN2-ADA does; R3GAN's is of the very logits of the
        loss, which has the same expectation."""
        packs = pack(batch.real, self.packing), pack(fake, self.packing)
        real_outputs, fake_outputs = (self.judge(x, batch.y) for x in packs)
        terms = self.discriminator_terms(real_outputs, fake_outputs, batch.y)
        for name, penalty in self.penalties.items():
            terms[name] = fake.new_zeros(())
            if update % penalty.every == 0:
                terms[name] = penalty(lambda x: self.judge(x, batch.y)[:, 0], *packs, self.uniform)
        signs = self.objective.signs_of_collapse(terms["discriminator_loss"].detach(), fake.detach(), batch.real)
        return terms, self.beliefs(real_outputs, fake_outputs) | signs

    def losses_of_generator(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Terms of the generator's loss, but for its penalties."""
        outputs = self.judge(pack(fake, self.packing), batch.y)
        real = self.judge(pack(batch.real, self.packing), batch.y) if self.objective.needs_real else None
        return self.generator_terms(outputs, real, batch.y)

    @torch.no_grad()
    def beliefs(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's logits on real and fake, and how often it is right: ``(groups,)`` each."""
        right = self.objective.accuracy(real[:, 0], fake[:, 0])
        names = ("real_logit", "fake_logit", "real_accuracy", "fake_accuracy")
        return dict(zip(names, (real[:, 0], fake[:, 0], *right), strict=True))

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Both players' losses without penalties, and what the discriminator believes, ``(B,)`` each; of a pack, all its
        examples have the same. ``loss`` is the generator's. Training does not minimise their sum; see
        :meth:`~genexp.families.training.adversarial.AdversarialModule.training_step`."""
        y = self.labels(y)
        fake = self.judge(pack(self.generator(self.sample_prior(len(x)), y), self.packing), y)
        real = self.judge(pack(symmetric(x, self.levels), self.packing), y)
        terms = self.generator_terms(fake, real, y) | self.discriminator_terms(real, fake, y) | self.beliefs(real, fake)
        return {name: unpack(value, self.packing, len(x)) for name, value in terms.items()}

    @torch.no_grad()
    def after_update(self, player: str) -> None:
        if player == "discriminator" and self.weight_clip is not None:
            for parameter in self.discriminator.parameters():
                parameter.clamp_(-self.weight_clip, self.weight_clip)

    def draw(self, n: int, y: Tensor | None, *, truncation: float | None = None) -> Tensor:
        """x = G(z), rounded to the nearest level.

        Args:
            n, y: see :meth:`sample`.
            truncation: largest absolute value of a number in z, above 0: smaller values trade variety for quality (Brock,
                Donahue, Simonyan, ICLR 2019, section 3.1). None for any.
        """
        if truncation is not None:
            positive(truncation=truncation)
        z = self.sample_prior(n)
        if truncation is not None:
            nn.init.trunc_normal_(z, a=-truncation, b=truncation)
        return self.decode(z, y)

    def sample_prior(self, n: int) -> Tensor:
        return self.noise(n, self.latent_dim)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """G(z, y), rounded to the nearest level."""
        return from_symmetric(self.generator(z, y), self.levels)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """G(z, y) before it is rounded."""
        return symmetric_to_levels(self.generator(z, y), self.levels)
