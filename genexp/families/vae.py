"""Approximate density: a latent-variable model trained by a lower bound on log p(x) (Kingma & Welling, ICLR 2014)."""

from typing import Any

import torch
from torch import Tensor

from genexp.families.capabilities import ConditionalMeans, LatentVariables
from genexp.families.slots.calling import made_by
from genexp.families.slots.variational import DecoderFactory, EncoderFactory, PosteriorFactory, PriorFactory
from genexp.families.variational import Draws, VariationalModule, knob, repeated
from genexp.probability.latent.posteriors import DensityPosterior, Posterior
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import promoted
from genexp.probability.quantize import unit
from genexp.ranges import at_least


class VAE(VariationalModule, LatentVariables, ConditionalMeans):
    """Variational autoencoder: prior p(z), approximate posterior q(z | x), observation model p(x | z).

    Free bits are of each dimension of z or, where only the sum of their KL terms is known, of all of them.

    Args:
        encoder: :class:`~genexp.families.slots.variational.EncoderFactory`.
        decoder: :class:`~genexp.families.slots.variational.DecoderFactory`.
        posterior: :class:`~genexp.families.slots.variational.PosteriorFactory`.
        prior: :class:`~genexp.families.slots.variational.PriorFactory`.
        latent_dim: dimensions of z.
        doubly_reparameterised: with k > 1, the encoder's gradient of Tucker et al. 2019 (equation 9): that of the same bound
            in expectation, of less variance.
        variational: see :class:`genexp.families.variational.VariationalModule`.

    Raises:
        ValueError: an argument is out of range, or they do not go together.
    """

    def __init__(
        self,
        *,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        posterior: PosteriorFactory,
        prior: PriorFactory,
        latent_dim: int,
        doubly_reparameterised: bool,
        **variational: Any,
    ) -> None:
        super().__init__(**variational)
        if doubly_reparameterised and self.k == 1:
            raise ValueError("doubly_reparameterised=true: is for the importance-weighted bound, k of at least 2")
        at_least(1, latent_dim=latent_dim)
        self.posterior = made_by(posterior, latent_dim=latent_dim)
        if doubly_reparameterised and not isinstance(self.posterior, DensityPosterior):
            raise ValueError(
                f"doubly_reparameterised=true: needs a posterior whose density is known at every z, which "
                f"{type(self.posterior).__name__} is not"
            )
        common = {"shape": self.shape, "num_classes": self.label_width}
        self.encoder = made_by(encoder, num_params=self.posterior.num_params, **common)
        self.decoder = made_by(decoder, num_params=self.observation.num_params, latent_dim=latent_dim, **common)
        self.prior = made_by(prior, latent_dim=latent_dim, shape=self.shape, posterior_of=self._posterior_of)
        self.prior.check(self.posterior, self.conditional)
        self.latent_dim, self.doubly_reparameterised = latent_dim, doubly_reparameterised

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The parameters of q(z | x, y): ``(B, P)``."""
        return promoted(self.encoder(unit(x, self.levels), self.labels(y)))

    def _posterior_of(self, inputs: Tensor) -> tuple[Posterior, Tensor]:
        """The form of q and its parameters ``(B, P)`` given inputs ``(B, *shape)`` in [0, 1]."""
        return self.posterior, promoted(self.encoder(inputs, None))

    # --- objective and bound -----------------------------------------------------------------------------------

    def terms(self, x: Tensor, y: Tensor | None, code: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """The rate is in closed form where there is one, else log q(z | x) - log p(z) of the draw."""
        z, log_q = self.posterior(code, draws(self.latent_dim))
        rates = self._rates(code)
        if rates is None:
            rate = self.posterior.rate(code) if isinstance(self.prior, StandardNormal) else None
            rates = (log_q - self.prior(z)).t() if rate is None else rate.unsqueeze(1)
        return -self.log_conditional(x, z[0], y), rates

    def _rates(self, params: Tensor) -> Tensor | None:
        """KL(q(z_d | x) || p(z_d)) in nats, ``(B, latent_dim)``; None where it has no closed form."""
        return self.posterior.rates(params) if isinstance(self.prior, StandardNormal) else None

    def log_weights(self, x: Tensor, y: Tensor | None, code: Tensor, draws: Draws) -> Tensor:
        z, log_q = self.posterior(code, draws(self.latent_dim))
        double = self.doubly_reparameterised and z.requires_grad
        if (
            double
        ):  # the parameters of q get no gradient but through z, and that another factor of the normalised weights
            log_q = self.posterior.log_prob(code.detach(), z)
        weights = self.log_conditional(x, z.flatten(0, 1), y).view(len(z), -1) + self.prior(z) - log_q
        if double:
            shares = weights.detach().softmax(0).unsqueeze(-1)
            z.register_hook(lambda gradient: gradient * shares.to(gradient.dtype))
        return weights

    # --- latent variables --------------------------------------------------------------------------------------

    def sample_prior(self, n: int) -> Tensor:
        return self.prior.sample(n, like=next(self.decoder.parameters()))

    def log_prior(self, z: Tensor) -> Tensor:
        return self.prior(z)

    def log_conditional(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        k = len(z) // len(x)
        params = self.decoder(z, repeated(self.labels(y), k))
        return self.observation.log_prob(params, repeated(x, k)).flatten(1).sum(1)

    def infer(self, x: Tensor, y: Tensor | None = None, k: int = 1) -> tuple[Tensor, Tensor]:
        params = self.encode(x, y)
        return self.posterior(params, self.noise(k, len(x), self.latent_dim))

    def latent_mean(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.posterior.mean(self.encode(x, y))

    def latent_rates(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        return self._rates(self.encode(x, y))

    def log_posterior(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        if not isinstance(self.posterior, DensityPosterior):
            return None
        return self.posterior.pairwise_log_prob(self.encode(x, y), z)

    # --- sampling ----------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, y: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
        at_least(0, temperature=temperature)
        return self.observation.decode(self.decoder(z, self.labels(y)), temperature)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.observation.expectation(self.decoder(z, self.labels(y)))

    def draw(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> Tensor:
        """z ~ p(z), then :meth:`decode`; ``temperature`` in [0, inf), None for the model's own."""
        temperature = knob("temperature", temperature, self.temperature)
        return self.decode(self.sample_prior(n), y, temperature=temperature)

    def draw_with_means(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> tuple[Tensor, Tensor]:
        z = self.sample_prior(n)
        x = self.decode(z, y, temperature=knob("temperature", temperature, self.temperature))
        return x, self.conditional_mean(z, y)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """z ~ q(z | x), then :meth:`decode` at the model's temperature: ``(B, *shape)`` in the data space."""
        z, _ = self.infer(x, y)
        return self.decode(z[0], y, temperature=self.temperature)
