"""VAE with several stochastic layers (Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genexp.families.capabilities import ConditionalMeans
from genexp.families.slots.calling import made_by
from genexp.families.slots.variational import DecoderFactory, EncoderFactory
from genexp.families.variational import Draws, VariationalModule, knob, repeated
from genexp.probability.latent.divergence import standard_normal_kl
from genexp.probability.observation.base import normal_log_prob, promoted
from genexp.probability.quantize import unit


class LayeredVAE(VariationalModule, ConditionalMeans):
    """Markov chains of vectors h_1, ..., h_L in both directions, all Gaussians diagonal (equations 1 and 2):

        p(x, h) = p(h_L) p(h_{L-1} | h_L) ... p(h_1 | h_2) p(x | h_1),    p(h_L) = N(0, I),
        q(h | x) = q(h_1 | x) q(h_2 | h_1) ... q(h_L | h_{L-1}).

    With one layer it is :class:`genexp.families.vae.VAE`. A class-conditional model gives the label to every network.

    Args:
        latent_dims: dimensions of h_1, ..., h_L.
        encoders: :class:`~genexp.families.slots.variational.EncoderFactory` of q(h_1 | x), q(h_2 | h_1), ...; the parameters are
            all means, then all log standard deviations.
        decoders: :class:`~genexp.families.slots.variational.DecoderFactory` of p(x | h_1), p(h_1 | h_2), ...; for a layer the
            ``shape`` of the output is ``(dimensions,)``, and its P = 2 parameters are mean and log standard deviation.
        variational: see :class:`genexp.families.variational.VariationalModule`.

    Raises:
        ValueError: there is no layer, or not one encoder and one decoder for each.
    """

    def __init__(
        self,
        *,
        latent_dims: Sequence[int],
        encoders: Sequence[EncoderFactory],
        decoders: Sequence[DecoderFactory],
        **variational: Any,
    ) -> None:
        super().__init__(**variational)
        if not latent_dims or min(latent_dims) < 1:
            raise ValueError(f"latent_dims={list(latent_dims)}: must be at least one number, each at least 1")
        for name, networks in (("encoders", encoders), ("decoders", decoders)):
            if len(networks) != len(latent_dims):
                raise ValueError(f"{name}: there are {len(networks)}, but latent_dims has {len(latent_dims)} layers")
        self.latent_dims = tuple(latent_dims)
        below = (self.shape, *((d,) for d in latent_dims))
        for i, d in enumerate(latent_dims):  # children of their own, which are compiled and shared out one by one
            common = {"shape": below[i], "num_classes": self.label_width}
            params = 2 if i else self.observation.num_params
            self.add_module(f"encoder_{i + 1}", made_by(encoders[i], num_params=2 * d, **common))
            self.add_module(f"decoder_{i + 1}", made_by(decoders[i], num_params=params, latent_dim=d, **common))

    def posterior(self, layer: int, below: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation ``(B, latent_dim)`` of q(h_layer | below), layer = 1, ..., L; ``below`` is
        h_{layer-1}, or x in [0, 1]. ``y`` as the networks take it."""
        return promoted(getattr(self, f"encoder_{layer}")(below, y)).chunk(2, dim=1)

    def prior(self, layer: int, above: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation ``(B, latent_dim)`` of p(h_layer | above), layer = 1, ..., L - 1; ``above`` is
        h_{layer+1}."""
        return promoted(getattr(self, f"decoder_{layer + 1}")(above, y)).unbind(1)

    def encode(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of q(h_1 | x, y): ``(B, latent_dims[0])`` each."""
        return self.posterior(1, unit(x, self.levels), y)

    def _ascend(self, code: tuple[Tensor, Tensor], y: Tensor | None, eps: Tensor) -> list[tuple[Tensor, ...]]:
        """h ~ q(h | x) by ``eps`` ``(k, B, sum of latent_dims)``: for each layer the draw h, its eps, and mean and log standard
        deviation of q, ``(k B, latent_dim)`` each. ``code`` is of B examples, ``y`` of k B."""
        layers: list[tuple[Tensor, ...]] = []
        for i, e in enumerate(eps.flatten(0, 1).split(self.latent_dims, dim=1)):
            mean, log_std = (
                self.posterior(i + 1, layers[-1][0], y) if i else (repeated(part, len(eps)) for part in code)
            )
            layers.append((mean + log_std.exp() * e, e, mean, log_std))
        return layers

    def _log_likelihood(self, x: Tensor, h: Tensor, y: Tensor | None) -> Tensor:
        return self.observation.log_prob(self.decoder_1(h, y), x).flatten(1).sum(1)

    def terms(self, x: Tensor, y: Tensor | None, code: tuple[Tensor, Tensor], draws: Draws) -> tuple[Tensor, Tensor]:
        """The rate of the top layer is KL(q(h_L | h_{L-1}) || N(0, I)) in closed form, that of another log q - log p at its
        draw."""
        layers = self._ascend(code, y, draws(sum(self.latent_dims)))
        rates = [self._log_ratio(layers, i, y) for i in range(len(layers) - 1)]
        _, _, mean, log_std = layers[-1]
        rates.append(standard_normal_kl(mean, log_std).sum(1))
        return -self._log_likelihood(x, layers[0][0], y), torch.stack(rates, dim=1)

    def log_weights(self, x: Tensor, y: Tensor | None, code: tuple[Tensor, Tensor], draws: Draws) -> Tensor:
        eps = draws(sum(self.latent_dims))
        k = len(eps)
        y = repeated(y, k)
        layers = self._ascend(code, y, eps)
        ratios = sum(self._log_ratio(layers, i, y) for i in range(len(layers)))
        return (self._log_likelihood(repeated(x, k), layers[0][0], y) - ratios).view(k, -1)

    def _log_ratio(self, layers: list[tuple[Tensor, ...]], i: int, y: Tensor | None) -> Tensor:
        """log q(h_{i+1} | below) - log p(h_{i+1} | above) at the draws: ``(k B,)``."""
        h, eps, _, log_std = layers[i]
        top = i + 1 == len(layers)
        mean, scale = (torch.zeros_like(h),) * 2 if top else self.prior(i + 1, layers[i + 1][0], y)
        posterior = normal_log_prob(eps, 0.0, torch.zeros_like(eps)) - log_std
        return (posterior - normal_log_prob(h, mean, scale)).sum(1)

    def draw(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> Tensor:
        """h_L ~ N(0, I), down to h_1, then x ~ p(x | h_1) at ``temperature`` in [0, inf), None for the model's own."""
        temperature = knob("temperature", temperature, self.temperature)
        return self.observation.decode(self._generate(n, y), temperature)

    def draw_with_means(self, n: int, y: Tensor | None, *, temperature: float | None = None) -> tuple[Tensor, Tensor]:
        params = self._generate(n, y)
        x = self.observation.decode(params, knob("temperature", temperature, self.temperature))
        return x, self.observation.expectation(params)

    def _generate(self, n: int, y: Tensor | None) -> Tensor:
        """The parameters ``(n, P, *shape)`` of p(x | h_1), h from the prior."""
        h = self.noise(n, self.latent_dims[-1])
        for layer in range(len(self.latent_dims) - 1, 0, -1):
            mean, log_std = self.prior(layer, h, y)
            h = mean + log_std.exp() * self.noise(*mean.shape)
        return self.decoder_1(h, y)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """h_1 ~ q(h_1 | x), then x ~ p(x | h_1) at the model's temperature: ``(B, *shape)`` in the data space."""
        y = self.labels(y)
        mean, log_std = self.encode(x, y)
        return self.observation.decode(
            self.decoder_1(mean + log_std.exp() * self.noise(*mean.shape), y), self.temperature
        )
