"""A VAE whose decoder is autoregressive (Gulrajani et al., "PixelVAE: a latent variable model for natural images", ICLR
2017): p(x | z) = prod_d p(x_d | x_<d, z)."""

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from genexp.families.ancestral_sampling import draw_steps, one_thread
from genexp.families.capabilities import ConditionalMeans
from genexp.families.slots.variational import AutoregressiveDecoderFactory
from genexp.families.vae import VAE
from genexp.families.variational import repeated
from genexp.probability.quantize import unit
from genexp.ranges import at_least


class PixelVAE(VAE):
    """Variational autoencoder with an autoregressive decoder; z is left with what the decoder does not see, so the further
    it sees, the less z says (and a warm-up of the KL term helps it to be used at all).

    Args:
        levels: number of levels; None for continuous data.
        decoder: :class:`~genexp.families.slots.variational.AutoregressiveDecoderFactory`. Its ``group`` must be that of the
            observation model.
        vae: see :class:`VAE`.

    Raises:
        ValueError: decoder and observation model do not draw the same number of dimensions in a step.
    """

    draws_of_mean: ClassVar[int] = 8
    """Of x for each z, whose mean :meth:`conditional_mean` is."""

    def __init__(self, *, levels: int | None, decoder: AutoregressiveDecoderFactory, **vae: Any) -> None:
        super().__init__(levels=levels, decoder=partial(decoder, levels=levels), **vae)
        if self.observation.group != self.decoder.group:
            raise ValueError(
                f"model.observation: {type(self.observation).__name__} joins {self.observation.group} channels of a pixel, "
                f"{type(self.decoder.network).__name__} draws {self.decoder.group} together"
            )

    def unfit(self, capability: type) -> str | None:
        if capability is ConditionalMeans:
            return "the mean of p(x|z) has no closed form where the pixels depend on one another"
        return super().unfit(capability)

    def log_conditional(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """See :class:`LatentVariables`; the network of x runs once for each x, however many z there are."""
        k = len(z) // len(x)
        params = self.decoder(z, repeated(self.labels(y), k), unit(x, self.levels))
        return self.observation.log_prob(params, repeated(x, k)).flatten(1).sum(1)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x | z, y] estimated by the mean of :attr:`draws_of_mean` draws, for it has no closed form; the most probable
        dimensions in turn, temperature 0, are often an image of background only."""
        k = self.draws_of_mean
        x = self.decode(repeated(z, k), repeated(y, k))
        return x.to(z.dtype).unflatten(0, (k, -1)).mean(0)

    def decode(self, z: Tensor, y: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
        """x ~ p(x | z, y), each dimension in turn from its conditional at a temperature; at temperature 0 each is the mean of
        its conditional, rounded to the nearest level."""
        at_least(0, temperature=temperature)
        order = self.decoder.network.permutation().to(z.device)
        x = torch.zeros(len(z), self.dims, dtype=torch.uint8 if self.levels else z.dtype, device=z.device)
        steps = self.dims // self.decoder.group
        kept = torch.zeros(steps, self.decoder.group, dtype=torch.bool)
        sample = partial(self.observation.decode, temperature=temperature)
        with one_thread():
            step, times = self.decoder.sampler(z, self.labels(y)), self.track(range(steps), "sampling")
            draw_steps(x, kept, step, sample, self.levels, times, z.dtype)
        return x[:, order.argsort()].view(-1, *self.shape)
