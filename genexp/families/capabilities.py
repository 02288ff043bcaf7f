"""What a family can do beside sampling; evaluation asks for it by type."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from genexp.probability.adversarial.objectives import Objective


class ExactLikelihood(ABC):
    """The family computes log p(x) exactly."""

    @abstractmethod
    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y) for a conditional model: ``(B,)``, exact, in nats."""


class LikelihoodBound(ABC):
    """The family computes a lower bound on log p(x)."""

    @abstractmethod
    def bound(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """One draw of a lower bound, in expectation at most log p(x), or log p(x | y): ``(B,)`` in nats. An ELBO, or the length
        of a code."""


class ImportanceBound(LikelihoodBound):
    """The family computes a bound that more draws make tighter."""

    @abstractmethod
    def bound(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
        """As of :class:`LikelihoodBound`, of ``k`` draws, at least 1: the ELBO for k = 1, the importance-weighted bound for
        k > 1 (Burda et al. 2016, equation 8). In expectation it does not fall with k."""


class LikelihoodEstimate(ABC):
    """The family estimates log p(x) by a number that is neither exact nor a bound: by a probability-flow ODE, say, with
    Hutchinson's trace or up to a tolerance."""

    @abstractmethod
    def log_prob_estimate(self, x: Tensor, y: Tensor | None = None, **solver: Any) -> Tensor:
        """An estimate of log p(x), or log p(x | y): ``(B,)`` in nats.

        Args:
            x: ``(B, *shape)`` in the data space.
            y: labels ``(B,)`` of a conditional model.
            solver: how the ODE is solved; the protocol of the value names it.
        """


class Dynamics(ABC):
    """The family moves noise to data along an ordinary differential equation: sampling, likelihood, trajectories and guidance
    need no more than its velocity. The direction of time is that of :mod:`genexp.probability.dynamics`."""

    @abstractmethod
    def velocity(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """dx/dt: x reals ``(B, *shape)``, t ``(B,)`` in [0, 1], labels ``(B,)`` or None -> ``(B, *shape)``."""

    @abstractmethod
    def source_log_prob(self, z: Tensor) -> Tensor:
        """log-density of the noise that the path starts from, in nats: ``(B, *shape)`` -> ``(B,)``."""

    @abstractmethod
    def source_sample(self, n: int) -> Tensor:
        """``n`` draws of this noise: ``(n, *shape)``."""


class Denoiser(Dynamics):
    """The family knows what noisy data were; every sampler of diffusion is a function of this."""

    @abstractmethod
    def denoise(self, x: Tensor, sigma: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x_0 | x_0 + sigma eps = x]: x reals ``(B, *shape)``, sigma positive ``(B,)`` -> ``(B, *shape)``."""


class Completion(ABC):
    """The family draws what is missing of an example."""

    @abstractmethod
    def complete(self, x: Tensor, given: Tensor, y: Tensor | None = None, **knobs: Any) -> Tensor:
        """x with everything that is not given drawn from the model: ``(B, *shape)`` in the data space.

        Args:
            x: ``(B, *shape)`` in the data space.
            given: bool ``(*shape)``, True where x is kept.
            y: labels ``(B,)`` of a conditional model.
            knobs: as of ``sample``.
        """

    def overlooked(self, given: Tensor) -> Tensor:
        """Which of what is given has no influence on some of what :meth:`complete` draws: bool ``(*shape)``, like ``given``.
        Nothing, where every missing dimension is drawn given all that is."""
        return torch.zeros_like(given)


class Reconstruction(ABC):
    """The family encodes an example and decodes it again."""

    @abstractmethod
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """x after encoding and decoding: ``(B, *shape)`` in the data space."""


class ConditionalMeans(ABC):
    """The family draws z and then x from a p(x | z) whose mean is known: a picture without the noise of x."""

    @abstractmethod
    def draw_with_means(self, n: int, y: Tensor | None, **knobs: Any) -> tuple[Tensor, Tensor]:
        """What ``draw`` gives under the same random draws, and E[x | z, y] of the same z for pictures, in [0, levels - 1], not
        rounded to levels, so that binary data are grey: ``(n, *shape)`` each. Arguments as of ``draw``."""


class LatentDecoder(ABC):
    """The family makes x out of real latent variables z ``(latent_dim,)`` that have a prior."""

    latent_dim: int

    @abstractmethod
    def sample_prior(self, n: int) -> Tensor:
        """``n`` draws from p(z): ``(n, latent_dim)``."""

    @abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None, **knobs: Any) -> Tensor:
        """x ~ p(x | z, y), or x where it is a function of z: ``(B, *shape)`` in the data space.

        Args:
            z: ``(B, latent_dim)``.
            y: labels ``(B,)`` of a conditional model.
            knobs: of the family's decoder, keyword-only: a temperature of p(x | z), say.
        """

    @abstractmethod
    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x | z, y] for pictures: z ``(B, latent_dim)`` -> ``(B, *shape)`` in [0, levels - 1], not rounded to levels, so that
        binary data are grey."""


class LatentImage(ABC):
    """The family maps data to noise, of independent dimensions where the model is right."""

    @abstractmethod
    def latent(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """z of x ``(B, *shape)``: ``(B, D)``."""

    @abstractmethod
    def latent_cdf(self, z: Tensor) -> Tensor:
        """P(Z_d <= z_d) of every dimension by the model: ``(B, D)`` -> ``(B, D)`` in [0, 1]; uniform of z that follow it."""


class LatentVariables(LatentDecoder):
    """The family explains x by latent variables: p(x, z) = p(z) p(x | z), and q(z | x)."""

    @abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
        """x ~ p(x | z, y) at a temperature, at least 0; at 0 its mean, rounded to the nearest level: ``(B, *shape)`` in the data
        space."""

    @abstractmethod
    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z) in nats: ``(..., latent_dim)`` -> ``(...)``."""

    @abstractmethod
    def log_conditional(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | z, y) in nats, differentiable in z.

        Args:
            x: ``(B, *shape)`` in the data space.
            z: ``(k B, latent_dim)``, k for each x: row i is one of x i mod B.
            y: labels ``(B,)`` of a conditional model.

        Returns:
            ``(k B,)``.
        """

    @abstractmethod
    def infer(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> tuple[Tensor, Tensor]:
        """``k`` draws z ``(k, B, latent_dim)`` from q(z | x, y), and log q of each in nats ``(k, B)``."""

    @abstractmethod
    def latent_mean(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z | x, y): ``(B, latent_dim)``."""

    @abstractmethod
    def latent_rates(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """KL(q(z_d | x, y) || p(z_d)) of every dimension, in nats: ``(B, latent_dim)``; None where it has no closed form, or
        is no sum over dimensions."""

    @abstractmethod
    def log_posterior(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        """log q(z_i | x_j, y_j) of every pair, in nats: z ``(N, latent_dim)``, x ``(M, *shape)`` -> ``(N, M)``; None where q is
        known at its own draws only."""


class AdversarialGame(ABC):
    """The family is a game of two players, ``generator`` and ``discriminator``, networks under these names. Its ``loss`` gives
    ``discriminator_loss``, what the discriminator minimises."""

    objective: Objective
    packing: int
    """Examples that the discriminator judges at once: so many in turn have one loss."""

    @abstractmethod
    def respond(self, player: str, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Train one player against the other, which stays as it is: see
        :meth:`genexp.families.training.players.PlayersModule.respond`."""
