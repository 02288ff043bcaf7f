"""Approximate density with discrete latents: the VQ-VAE (van den Oord, Vinyals, Kavukcuoglu, NeurIPS 2017)."""

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ConditionalMeans, LikelihoodBound, Reconstruction
from genexp.families.slots.autoregressive import ObservationFactory
from genexp.families.slots.calling import made_by
from genexp.families.slots.quantised import CodebookFactory, GridDecoderFactory, GridEncoderFactory
from genexp.families.variational import knob
from genexp.probability.latent.codebook import perplexity, straight_through
from genexp.probability.observation.base import promoted
from genexp.probability.quantize import unit
from genexp.ranges import at_least


class VQVAE(GenerativeModule, LikelihoodBound, Reconstruction, ConditionalMeans):
    """Vector-quantised variational autoencoder: an image becomes a grid of codes, each one of K, and codes become an image.

    The posterior is a point mass on the codes of x. By itself the model has a uniform prior over the K^(h w) grids of codes,
    under which its samples are mush; :class:`genexp.families.two_stage.TwoStage` learns a better one.

    Args:
        encoder: :class:`~genexp.families.slots.quantised.GridEncoderFactory`.
        decoder: :class:`~genexp.families.slots.quantised.GridDecoderFactory`, of the same ``grid``.
        codebook: :class:`~genexp.families.slots.quantised.CodebookFactory`.
        observation: :class:`~genexp.families.slots.autoregressive.ObservationFactory`, of p(x | z).
        latent_dim: dimensions of a vector.
        beta: weight of the commitment, at least 0 (the paper's beta, 0.25 there). Distortion and commitment are sums over
            the example here, not means.
        temperature: of p(x | z) in samples and reconstructions, at least 0; 1 samples the model whose likelihood is
            bounded, 0 shows the means of p(x | z), as is common.
        base: see :class:`GenerativeModule`.
    """

    units: ClassVar[Mapping[str, str]] = {"elbo": "nats", "distortion": "nats"}

    def __init__(
        self,
        *,
        encoder: GridEncoderFactory,
        decoder: GridDecoderFactory,
        codebook: CodebookFactory,
        observation: ObservationFactory,
        latent_dim: int,
        beta: float,
        temperature: float,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        at_least(0, beta=beta, temperature=temperature)
        at_least(1, latent_dim=latent_dim)
        common = {"shape": self.shape, "latent_dim": latent_dim, "num_classes": self.label_width}
        self.observation = made_by(observation, levels=self.levels)
        self.encoder = made_by(encoder, **common)
        self.decoder = made_by(decoder, num_params=self.observation.num_params, **common)
        self.codebook = made_by(codebook, dim=latent_dim)
        self.grid = tuple(self.encoder.grid)
        """Height and width (h, w) of the grid of codes."""
        if self.grid != tuple(self.decoder.grid):
            raise ValueError(
                f"decoder: takes a grid of {self.decoder.grid}, the encoder makes {self.grid}; set equal halvings"
            )
        self.beta, self.temperature = beta, temperature
        self._latents: tuple[Tensor, Tensor] | None = None
        """What the last training batch was quantised from, and its codes."""

    @property
    def uniform_log_prob(self) -> float:
        """log-probability of any codes under the uniform prior: -h w log K, in nats."""
        return -self.grid[0] * self.grid[1] * log(self.codebook.size)

    def latents(self, x: Tensor, y: Tensor | None) -> Tensor:
        """z_e(x), before quantisation: ``(B, latent_dim, h, w)``. ``y`` as the networks take it."""
        return promoted(self.encoder(unit(x, self.levels), y))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes of x: int64 ``(B, h, w)`` in [0, K)."""
        return self.codebook(self.latents(x, self.labels(y)))[1]

    def decoded_log_prob(self, x: Tensor, codes: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | codes) in nats: x ``(B, *shape)``, codes ``(B, h, w)`` -> ``(B,)``."""
        return self._log_prob(x, self.codebook.lookup(codes), self.labels(y))

    def _log_prob(self, x: Tensor, z: Tensor, y: Tensor | None) -> Tensor:
        return self.observation.log_prob(self.decoder(z, y), x).flatten(1).sum(1)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Equation 3 of the paper: ``(B,)`` each, sums over an example.

        ``loss`` = distortion + beta commitment + the codebook's own term; ``distortion`` = -log p(x | z_q(x)) in nats;
        ``commitment`` = |z_e(x) - sg[z_q(x)]|^2; ``elbo`` under the uniform prior, in nats; ``perplexity`` of the codes of
        the whole batch (the part of it that this process has), which is the same number for each of its examples."""
        y = self.labels(y)
        z = self.latents(x, y)
        e, codes = self.codebook(z)
        if self.training:
            self._latents = z.detach(), codes
        distortion = -self._log_prob(x, straight_through(z, e), y)
        commitment = ((z - e.detach()) ** 2).flatten(1).sum(1)
        return {
            "loss": distortion + self.beta * commitment + self.codebook.objective(z, e),
            "elbo": self.uniform_log_prob - distortion.detach(),
            "distortion": distortion.detach(),
            "commitment": commitment.detach(),
            "perplexity": perplexity(codes, self.codebook.size).to(z.dtype).expand(len(x)),
        }

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        """As always, and the codebook takes note of the batch; it moves once in a training step. Its vectors are in the loss
        by value, so that it may do so before the backward pass."""
        losses = super().training_step(batch, batch_idx)
        (z, codes), self._latents = self._latents, None
        noise = self.noise(len(z), *self.grid)
        here, _ = self.counts(z)  # none of a stand-in
        self.codebook.observe(z[:here], codes[:here], noise[:here])
        if self.at_boundary:
            self.codebook.update()
        return losses

    def bound(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | z_q(x)) - h w log K, which is log p(x, codes of x) under the uniform prior: the ELBO, since the posterior
        is a point mass, of which there is nothing to draw, and its entropy 0."""
        return self.decoded_log_prob(x, self.encode(x, y), y) + self.uniform_log_prob

    def decode(self, codes: Tensor, y: Tensor | None = None, temperature: float | None = None) -> Tensor:
        """x ~ p(x | codes) at a temperature, None for the model's own; its mean, rounded to the nearest level, at temperature 0.

        Args:
            codes: integers ``(B, h, w)`` in [0, K).
            y: labels ``(B,)``, or None.
            temperature: at least 0.
        """
        params = self.decoder(self.codebook.lookup(codes), self.labels(y))
        return self.observation.decode(params, knob("temperature", temperature, self.temperature))

    def draw(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> Tensor:
        """Uniform codes, then :meth:`decode`; ``temperature`` in [0, inf), None for the model's own."""
        codes = torch.randint(self.codebook.size, (n, *self.grid), device=self.device)
        return self.decode(codes, y, temperature)

    def draw_with_means(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> tuple[Tensor, Tensor]:
        codes = torch.randint(self.codebook.size, (n, *self.grid), device=self.device)
        return self.decode(codes, y, temperature), self.decoded_mean(codes, y)

    def decoded_mean(self, codes: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x | codes] for pictures, not rounded to levels; arguments as of :meth:`decode`."""
        return self.observation.expectation(self.decoder(self.codebook.lookup(codes), self.labels(y)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes of x, then :meth:`decode` at the model's temperature: ``(B, *shape)`` in the data space."""
        return self.decode(self.encode(x, y), y)
