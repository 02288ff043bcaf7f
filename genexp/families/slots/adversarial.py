"""The slots of GANs."""

from collections.abc import Sequence
from typing import Protocol

from torch import nn


class GeneratorFactory(Protocol):
    """Makes the network from latents to examples."""

    def __call__(self, *, shape: Sequence[int], levels: int | None, latent_dim: int, num_classes: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: shape of one example.
            levels: number of levels of the data; None for continuous data.
            latent_dim: dimensions of z ~ N(0, I).
            num_classes: number of labels that the network receives; 0 for an unconditional model, whose y is None.

        Returns:
            A network z ``(B, latent_dim)``, y ``(B,)`` or None -> reals ``(B, *shape)``, in [-1, 1] for data with levels.

        Raises:
            ValueError: it has no form for data of this shape or these levels.
        """


class DiscriminatorFactory(Protocol):
    """Makes the network that judges examples."""

    def __call__(self, *, shape: Sequence[int], num_classes: int, num_outputs: int) -> nn.Module:
        """Called once, when the model is made.

        Args:
            shape: of what is judged at once: that of one example; of a pack of them, (packing C, ...) with the examples side by
                side in axis 0.
            num_classes: number of labels that the network receives; 0, with y None, for an unconditional model and beside an
                auxiliary classifier.
            num_outputs: 1, or 1 + the number of classes where there is an auxiliary classifier.

        Returns:
            A network reals ``(B, *shape)`` (of data with levels in [-1, 1], but for an augmentation), y ``(B,)`` or None ->
            ``(B, num_outputs)``, where B counts packs: in column 0 the logit, positive where it looks real, in the others the
            class logits of the auxiliary classifier.
        """
