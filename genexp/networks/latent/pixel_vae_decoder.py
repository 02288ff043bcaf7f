"""Decoders of a latent z that are autoregressive in x: the sum of what a decoder makes of z and a network of x."""

import itertools
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Sampler
from genexp.ranges import at_least


class FeaturesOfLatents(Protocol):
    """Makes g: z ``(B, latent_dim)``, y ``(B,)`` or None -> features ``(B, F, *shape)``."""

    def __call__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, num_classes: int) -> nn.Module:
        """``shape`` of an example, or (1, H, W) where whole pixels are drawn; ``num_params`` is F; ``num_classes`` labels, or 0."""


class FeaturesOfDimensions(Protocol):
    """Makes h: x ``(B, *shape)`` in [0, 1], y ``(B,)`` or None -> features ``(B, F, *shape)``, those of d of x_<d alone."""

    def __call__(
        self, *, shape: Sequence[int], num_params: int, num_classes: int, levels: int | None
    ) -> AutoregressiveNetwork:
        """``shape`` of an example; ``num_params`` is F; ``num_classes`` labels, or 0; ``levels`` of the data, or None."""


class AutoregressiveDecoder(nn.Module):
    """Parameters of the conditionals p(x_d | x_<d, z), for every dimension d by the same small head,

        params_d = head(g_d(z) + h_d(x_<d)),

    where g is any decoder and h any autoregressive network, both with F features for each dimension in place of
    parameters. Of the Gated PixelCNN with a location-dependent condition (van den Oord et al. 2016b, section 2.3) and of the
    PixelVAE (Gulrajani et al. 2017), where features of z enter all masked layers or the first, this is the form in which
    they enter the last. So z needs no network of its own kind, h can draw without recomputation, and with h = 0 the
    dimensions are independent given z.

    Args:
        shape: shape of one example.
        latent_dim: dimensions of z.
        num_params: parameters P per dimension, or per pixel if h draws whole pixels.
        num_classes: number of labels, which both g and h receive; 0 for none.
        levels: number of levels of the data, which h is told; None for continuous data.
        decoder: makes g.
        network: makes h.
        features: F, at least 1.
        hidden: widths of the hidden layers of the head.
        activation: non-linearity before each of its layers.

    Raises:
        ValueError: h trains more than one order, or there are no features.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        latent_dim: int,
        num_params: int,
        num_classes: int,
        levels: int | None,
        decoder: FeaturesOfLatents,
        network: FeaturesOfDimensions,
        features: int,
        hidden: Sequence[int],
        activation: nn.Module,
    ) -> None:
        super().__init__()
        at_least(1, features=features, hidden=hidden)
        self.network = network(shape=shape, num_params=features, num_classes=num_classes, levels=levels)
        if self.network.num_orders != 1:
            raise ValueError(
                f"decoder.network: {type(self.network).__name__} trains {self.network.num_orders or 'all'} orders; an "
                "autoregressive decoder has one"
            )
        self.group = self.network.group
        """How many dimensions are drawn together in a step."""
        outputs = tuple(shape) if self.group == 1 else (1, *shape[1:])
        self.decoder = decoder(shape=outputs, latent_dim=latent_dim, num_params=features, num_classes=num_classes)
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise([features, *hidden, num_params]):
            layers += [activation, nn.Conv1d(a, b, 1)]
        self.head = nn.Sequential(*layers)

    def forward(self, z: Tensor, y: Tensor | None, x: Tensor) -> Tensor:
        """All conditionals; h is computed once for each x, however many z there are for it.

        Args:
            z: ``(k B, latent_dim)``, k for each x: that of row i is row i mod B of x.
            y: labels ``(k B,)``, or None.
            x: ``(B, *shape)``, scaled to [0, 1].

        Returns:
            ``(k B, P, *shape)``, or ``(k B, P, 1, H, W)`` where the channels of a pixel are drawn together.
        """
        of_z, of_x = self.decoder(z, y), self.network(x, None if y is None else y[: len(x)])
        features = (of_z.unflatten(0, (-1, len(x))) + of_x).flatten(0, 1)
        return self.head(features.flatten(2)).unflatten(2, features.shape[2:])

    def sampler(self, z: Tensor, y: Tensor | None, incremental: bool = True) -> Sampler:
        """One conditional at a time, given z; ``incremental`` False is the reference, a whole pass of h for every step."""
        order = self.network.permutation()[:: self.group].to(z.device)
        of_z = self.decoder(z, y).flatten(2)[:, :, order].movedim(2, 0).unsqueeze(3)
        of_x = (self.network.sampler if incremental else self.network.full_sampler)(len(z), y)

        def step(canvas: Tensor, t: int) -> Tensor:
            return self.head(of_z[t] + of_x(canvas, t).unsqueeze(2)).squeeze(2)

        return step
