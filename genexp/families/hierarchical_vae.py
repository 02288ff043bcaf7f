"""Deep hierarchical VAE: many groups of latents, inferred from the top down (Child, ICLR 2021)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genexp.families.capabilities import ConditionalMeans
from genexp.families.slots.calling import made_by
from genexp.families.slots.variational import LadderDecoderFactory, LadderEncoderFactory
from genexp.families.variational import Draws, VariationalModule, knob, repeated
from genexp.networks.latent.ladder import Group, grid_sides
from genexp.probability.latent.divergence import normal_kl
from genexp.probability.observation.base import normal_log_prob, promoted
from genexp.probability.quantize import unit
from genexp.ranges import at_least


class HierarchicalVAE(VariationalModule, ConditionalMeans):
    """Groups of latents z_1, ..., z_G on grids from coarse to fine, with diagonal Gaussians in the order of generation:

        p(x, z) = p(z_1) p(z_2 | z_1) ... p(z_G | z_<G) p(x | z),    q(z | x) = q(z_1 | x) q(z_2 | z_1, x) ... q(z_G | z_<G, x).

    The KL term is a sum over the groups, each in closed form given the draw of those above (equation 3 of Child 2021). A
    class-conditional model gives the label to every group. Differences from the paper: log standard deviations are bounded, no
    layer starts at 0, no step is skipped for the norm of its gradient (``training.gradient_clip_norm`` limits it), and the finest
    grid may be coarser than the image, whose squares of pixels are then read and written at once.

    Args:
        encoder: :class:`~genexp.families.slots.variational.LadderEncoderFactory`.
        decoder: :class:`~genexp.families.slots.variational.LadderDecoderFactory`.
        reductions: side of the image over that of each grid, from the top down; None for a side of 1.
        channels: of the features on all grids, at least 1.
        latent_temperature: of the priors in samples, at least 0; 1 samples the model.
        variational: see :class:`genexp.families.variational.VariationalModule`.

    Raises:
        ValueError: the grids do not fit the images, or an argument is out of range.
    """

    def __init__(
        self,
        *,
        encoder: LadderEncoderFactory,
        decoder: LadderDecoderFactory,
        reductions: Sequence[int | None],
        channels: int,
        latent_temperature: float,
        **variational: Any,
    ) -> None:
        super().__init__(**variational)
        at_least(1, channels=channels)
        at_least(0, latent_temperature=latent_temperature)
        common = {"shape": self.shape, "sides": grid_sides(self.shape, reductions), "channels": channels}
        self.encoder = made_by(encoder, **common)
        self.decoder = made_by(decoder, num_params=self.observation.num_params, num_classes=self.label_width, **common)
        self.latent_temperature = latent_temperature

    def encode(self, x: Tensor, y: Tensor | None) -> list[Tensor]:
        """Features of every grid, from the top down. The label enters from the top only."""
        return self.encoder(unit(x, self.levels))

    def _descend(self, features: Sequence[Tensor], y: Tensor | None, draws: Draws) -> tuple[Tensor, list[Group]]:
        """Parameters of p(x | z) and groups of z ~ q(z | x): those of k B examples, for features and labels of B."""
        eps = [draws(*shape) for shape in self.decoder.latent_shapes]
        k = len(eps[0])
        features = [repeated(part, k) for part in features]
        params, groups = self.decoder(features, repeated(y, k), [part.flatten(0, 1) for part in eps])
        return params, [Group(*map(promoted, group)) for group in groups]

    def terms(self, x: Tensor, y: Tensor | None, code: Sequence[Tensor], draws: Draws) -> tuple[Tensor, Tensor]:
        params, groups = self._descend(code, y, draws)
        rates = [normal_kl(g.mean, g.log_std, g.prior_mean, g.prior_log_std).flatten(1).sum(1) for g in groups]
        return -self.observation.log_prob(params, x).flatten(1).sum(1), torch.stack(rates, dim=1)

    def log_weights(self, x: Tensor, y: Tensor | None, code: Sequence[Tensor], draws: Draws) -> Tensor:
        params, groups = self._descend(code, y, draws)
        k = len(params) // len(x)
        total = self.observation.log_prob(params, repeated(x, k)).flatten(1).sum(1)
        for g in groups:
            prior = normal_log_prob(g.z, g.prior_mean, g.prior_log_std)
            posterior = normal_log_prob(g.eps, 0.0, torch.zeros_like(g.eps)) - g.log_std
            total = total + (prior - posterior).flatten(1).sum(1)
        return total.view(k, -1)

    @torch.no_grad()
    def rates(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """KL of every group, from the top down, given one draw of those above: ``(B, G)`` in nats. A group that is not used
        has none."""
        y = self.labels(y)
        return self.terms(x, y, self.encode(x, y), lambda *shape: self.noise(1, len(x), *shape))[1]

    def draw(
        self, n: int, y: Tensor | None, *, temperature: float | None = None, latent_temperature: float | None = None
    ) -> Tensor:
        """z ~ p(z), then x ~ p(x | z). Temperatures in [0, inf), None for the model's own: ``latent_temperature`` multiplies the
        standard deviations of the priors, ``temperature`` is that of p(x | z)."""
        temperature = knob("temperature", temperature, self.temperature)
        return self.observation.decode(self._generate(n, y, latent_temperature), temperature)

    def draw_with_means(
        self, n: int, y: Tensor | None, *, temperature: float | None = None, latent_temperature: float | None = None
    ) -> tuple[Tensor, Tensor]:
        params = self._generate(n, y, latent_temperature)
        x = self.observation.decode(params, knob("temperature", temperature, self.temperature))
        return x, self.observation.expectation(params)

    def _generate(self, n: int, y: Tensor | None, latent_temperature: float | None) -> Tensor:
        """The parameters ``(n, P, *shape)`` of p(x | z), z from the priors at a temperature."""
        latent_temperature = knob("latent_temperature", latent_temperature, self.latent_temperature)
        eps = [latent_temperature * self.noise(n, *shape) for shape in self.decoder.latent_shapes]
        return self.decoder(None, y, eps)[0]

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """z ~ q(z | x), then x ~ p(x | z) at the model's temperature: ``(B, C, S, S)`` in the data space."""
        y = self.labels(y)
        params, _ = self._descend(self.encode(x, y), y, lambda *shape: self.noise(1, len(x), *shape))
        return self.observation.decode(params, self.temperature)
