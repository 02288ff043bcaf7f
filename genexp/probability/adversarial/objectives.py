"""Objectives of adversarial training: what the two players minimise, from the discriminator's logits.

``real`` and ``fake`` are logits of equally many examples, ``(B,)`` each: those of the data, and of the generator's.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.ranges import at_least


class Objective(ABC):
    """Losses of the two players, each minimised by its own."""

    equilibrium: ClassVar[float]
    """The discriminator's loss, at best, where the generator's distribution is that of the data: no better than chance."""
    needs_real: ClassVar[bool] = False
    """Whether the generator's loss depends on the logits of the data, too."""
    boundary: ClassVar[float | None] = 0.0
    """The logit between what the discriminator takes for real and for fake; None where only differences mean something."""
    unit: ClassVar[str] = ""
    """Of the losses: ``nats`` where they are logarithms of probabilities."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises: ``(B,)``."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """What the generator minimises: ``(B,)``. ``real`` may be None unless :attr:`needs_real`."""

    def accuracy(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the discriminator is right, of real and of fake: 0 or 1, ``(B,)`` each. Without a :attr:`boundary`, whether
        it ranks the real one of a pair higher, for both."""
        if self.boundary is None:
            higher = (real > fake).to(real.dtype)
            return higher, higher
        return (real > self.boundary).to(real.dtype), (fake < self.boundary).to(fake.dtype)

    def signs_of_collapse(self, loss: Tensor, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """``relative_discriminator_loss``: the discriminator's loss over that of one no better than chance, 0 where it is always
        sure and right; 1 where chance has no loss (Wasserstein). ``fake_spread``: the standard deviation of the fakes over the
        batch, averaged over dimensions, over that of the data; 1 of a single example.

        Args:
            loss: the discriminator's, ``(groups,)``, without a graph.
            fake, real: the examples ``(B, *shape)``, without a graph.
        """
        one = loss.new_ones(())
        spread, of_data = (x.std(0, correction=0).mean() for x in (fake, real))
        return {
            "relative_discriminator_loss": loss.mean() / self.equilibrium if self.equilibrium > 0 else one,
            "fake_spread": spread / of_data.clamp_min(1e-12) if len(real) > 1 else one,
        }


class Minimax(Objective):
    """The zero-sum game (Goodfellow et al. 2014, equation 1), D(x) = sigmoid(logit): the discriminator minimises
    -log D(x) - log(1 - D(G(z))), the generator log(1 - D(G(z))), whose gradient vanishes where D is sure.

    At the optimal discriminator the value of the game, minus its loss, is 2 JSD(p_data, p_G) - log 4 (theorem 1)."""

    equilibrium = math.log(4)
    unit = "nats"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real) + F.softplus(fake)

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -F.softplus(fake)


class NonSaturating(Minimax):
    """The loss used in practice: the generator minimises -log D(G(z)) (Goodfellow et al. 2014, section 3)."""

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return F.softplus(-fake)


class LeastSquares(Objective):
    """LSGAN: (logit - 1)^2 / 2 on real, logit^2 / 2 on fake; the generator (logit - 1)^2 / 2 (Mao et al., ICCV 2017,
    equation 9)."""

    equilibrium = 0.25
    boundary = 0.5

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - 1) ** 2 + 0.5 * fake**2

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return 0.5 * (fake - 1) ** 2


class Wasserstein(Objective):
    """The critic minimises fake - real, whose negative estimates the Wasserstein-1 distance if the critic is 1-Lipschitz, and
    the generator -fake (Arjovsky, Chintala, Bottou, ICML 2017, equation 2 and algorithm 1). What makes it Lipschitz, weight
    clipping or a gradient penalty, is set elsewhere."""

    equilibrium = 0.0
    boundary = None

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake


class Hinge(Objective):
    """max(0, 1 - real) + max(0, 1 + fake); the generator minimises -fake (Lim & Ye 2017; Miyato et al. 2018, equations 16
    and 17)."""

    equilibrium = 2.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real) + F.relu(1 + fake)

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake


class RelativisticPaired(Objective):
    """RpGAN: -log sigmoid(real - fake), the generator's the same with the roles exchanged (Jolicoeur-Martineau 2019; Huang et
    al., "The GAN is dead; long live the GAN!", NeurIPS 2024, equation 2, who add R1 and R2)."""

    equilibrium = math.log(2)
    unit = "nats"
    needs_real = True
    boundary = None

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real)

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return F.softplus(real - fake)


class AuxiliaryClassifier:
    """ACGAN: both players also minimise the cross-entropy, in nats, between the label and what a second head of the
    discriminator makes of the image (Odena, Olah, Shlens, ICML 2017, equation 3).

    Args:
        discriminator_weight, generator_weight: factors of the term, at least 0.
        on_fakes: train the head on generated images, too, as in the paper; else on the data only (Gulrajani et al. 2017).
    """

    def __init__(self, *, discriminator_weight: float, generator_weight: float, on_fakes: bool) -> None:
        at_least(0, discriminator_weight=discriminator_weight, generator_weight=generator_weight)
        self.discriminator_weight, self.generator_weight = discriminator_weight, generator_weight
        self.on_fakes = on_fakes

    def discriminator(self, real: Tensor, fake: Tensor, y: Tensor) -> Tensor:
        """Class logits ``(B, K)`` and labels ``(B,)`` -> ``(B,)``, weighted."""
        loss = F.cross_entropy(real, y, reduction="none")
        if self.on_fakes:
            loss = loss + F.cross_entropy(fake, y, reduction="none")
        return self.discriminator_weight * loss

    def generator(self, fake: Tensor, y: Tensor) -> Tensor:
        """Class logits ``(B, K)`` and labels ``(B,)`` -> ``(B,)``, weighted."""
        return self.generator_weight * F.cross_entropy(fake, y, reduction="none")


def pack(x: Tensor, size: int) -> Tensor:
    """Rows joined in groups along their first axis, so that the discriminator judges ``size`` examples at once (Lin, Khetan,
    Fanti, Oh, "PacGAN", NeurIPS 2018): ``(B, C, ...)`` -> ``(ceil(B / size), size C, ...)``. The last group is filled up from
    the first rows."""
    if size == 1:
        return x
    groups = -(-len(x) // size)
    rows = torch.arange(groups * size, device=x.device) % len(x)
    return x[rows].reshape(groups, size * x.shape[1], *x.shape[2:])


def unpack(values: Tensor, size: int, n: int) -> Tensor:
    """The value of its group for each of ``n`` examples: ``(ceil(n / size), ...)`` -> ``(n, ...)``; see :func:`pack`."""
    return values if size == 1 else values.repeat_interleave(size, dim=0)[:n]
