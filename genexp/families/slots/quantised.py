"""The slots of models with discrete latents: grids of codes, their codebook, and a prior over them."""

from collections.abc import Sequence
from typing import Protocol

from torch import nn

from genexp.families.base import GenerativeModule
from genexp.probability.latent.codebook import Codebook


class GridEncoderFactory(Protocol):
    """Makes the network from x to a grid of vectors."""

    def __call__(self, *, shape: Sequence[int], latent_dim: int, num_classes: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: shape of one example.
            latent_dim: dimensions of a vector.
            num_classes: number of labels that the network receives; 0 for an unconditional model, whose y is None.

        Returns:
            A network x ``(B, *shape)`` in [0, 1], y ``(B,)`` or None -> ``(B, latent_dim, h, w)``, whose attribute ``grid`` is
            (h, w).
        """


class GridDecoderFactory(Protocol):
    """Makes the network from a grid of vectors to the parameters of p(x | z, y)."""

    def __call__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, num_classes: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape, latent_dim, num_classes: see :class:`GridEncoderFactory`.
            num_params: parameters P of one dimension of x.

        Returns:
            A network z ``(B, latent_dim, h, w)``, y ``(B,)`` or None -> ``(B, P, *shape)``, whose attribute ``grid`` is that of
            the encoder.
        """


class CodebookFactory(Protocol):
    """Makes the K vectors of the codes, and the way they are learnt."""

    def __call__(self, *, dim: int) -> Codebook:
        """Called once, when the model is made.

        Args:
            dim: dimensions of a vector, at least 1.

        Returns:
            The codebook; its ``size`` is K.
        """


class CodePriorFactory(Protocol):
    """Makes the model of the codes, a family of its own."""

    def __call__(
        self,
        *,
        shape: Sequence[int],
        levels: int,
        num_classes: int | None,
        conditional: bool,
        optimizer: None,
        scheduler: None,
    ) -> GenerativeModule:
        """Called once, when the model is made.

        Args:
            shape: (1, h, w), of the grid of codes.
            levels: number K of codes, 2 to 256.
            num_classes: number of labels of the data set; None if it has none.
            conditional: whether it models the codes given the label.
            optimizer, scheduler: None, for the model around it trains it.

        Returns:
            A model with an :class:`~genexp.families.capabilities.ExactLikelihood`.
        """
