"""The slots of VAEs: networks between x and vectors z, the forms of q(z | x) and p(z), and ladders of grids."""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from genexp.networks.latent.pixel_vae_decoder import AutoregressiveDecoder
from genexp.probability.latent.posteriors import Posterior
from genexp.probability.latent.priors import Prior


class EncoderFactory(Protocol):
    """Makes the network that gives the parameters of q(z | x, y)."""

    def __call__(self, *, shape: Sequence[int], num_params: int, num_classes: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: of the input.
            num_params: parameters of q for one example, at least 1.
            num_classes: number of labels that the network receives; 0 for an unconditional model, whose y is None.

        Returns:
            A network x ``(B, *shape)``, y ``(B,)`` or None -> ``(B, num_params)``. Data come scaled to [0, 1].
        """


class DecoderFactory(Protocol):
    """Makes the network that gives the parameters of p(x | z, y)."""

    def __call__(self, *, shape: Sequence[int], latent_dim: int, num_params: int, num_classes: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: of the output.
            latent_dim: dimensions of z, at least 1.
            num_params: parameters P of one dimension of the output.
            num_classes: see :class:`EncoderFactory`.

        Returns:
            A network z ``(B, latent_dim)``, y ``(B,)`` or None -> ``(B, P, *shape)``.
        """


class AutoregressiveDecoderFactory(Protocol):
    """Makes the network that gives the parameters of the conditionals p(x_d | x_<d, z, y)."""

    def __call__(
        self, *, shape: Sequence[int], latent_dim: int, num_params: int, num_classes: int, levels: int | None
    ) -> AutoregressiveDecoder:
        """Called once, when the model is made.

        Args:
            shape: shape of one example.
            latent_dim, num_classes: see :class:`DecoderFactory`.
            num_params: parameters P of one dimension, or of one pixel where the observation model joins its channels.
            levels: number of levels of the data; None for continuous data.

        Returns:
            A network z ``(k B, latent_dim)``, y ``(k B,)`` or None, x ``(B, *shape)`` in [0, 1] -> ``(k B, P, *shape)``, or
            ``(k B, P, 1, H, W)`` where the channels of a pixel are drawn together; it also makes samplers.
        """


class PosteriorFactory(Protocol):
    """Makes the form of q(z | x)."""

    def __call__(self, *, latent_dim: int) -> Posterior:
        """Called once, when the model is made.

        Args:
            latent_dim: dimensions of z, at least 1.

        Returns:
            The posterior; the encoder gives its ``num_params`` parameters.
        """


class PriorFactory(Protocol):
    """Makes p(z)."""

    def __call__(
        self, *, latent_dim: int, shape: Sequence[int], posterior_of: Callable[[Tensor], tuple[Posterior, Tensor]]
    ) -> Prior:
        """Called once, when the model is made.

        Args:
            latent_dim: dimensions of z, at least 1.
            shape: shape of one example x.
            posterior_of: the model's q(z | x), for priors that are made of it: inputs ``(K, *shape)`` in [0, 1] -> its form,
                and its parameters ``(K, P)``.

        Returns:
            The prior; its ``check`` then may refuse the model.
        """


class LadderEncoderFactory(Protocol):
    """Makes the network that gives features of an image on every grid of latents."""

    def __call__(self, *, shape: Sequence[int], sides: Sequence[int], channels: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: (C, S, S) of the images.
            sides: s of every grid, from the top down, that is from coarse to fine.
            channels: of the features on every grid, at least 1.

        Returns:
            A network x ``(B, C, S, S)`` in [0, 1] -> a list of features ``(B, channels, s, s)``, one for each grid, from the top
            down. It gets no label.
        """


class LadderDecoderFactory(Protocol):
    """Makes the network that draws all groups of latents from the top down, and gives the parameters of p(x | z, y)."""

    def __call__(
        self, *, shape: Sequence[int], num_params: int, sides: Sequence[int], num_classes: int, channels: int
    ) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape, sides, channels: see :class:`LadderEncoderFactory`.
            num_params: parameters P of one dimension of x.
            num_classes: see :class:`EncoderFactory`.

        Returns:
            A network features (as the encoder gives them; None to draw from the prior), y ``(B,)`` or None, eps (standard-normal,
            ``(B, *latent_shape)`` of every group) -> parameters ``(B, P, C, S, S)``, and a list of
            :class:`~genexp.networks.latent.ladder.Group`. Its attribute ``latent_shapes`` is the list of the groups'
            ``(latent_channels, s, s)``. All lists go from the top down; see :class:`~genexp.networks.latent.ladder.TopDown`.
        """
