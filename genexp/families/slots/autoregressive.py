"""The slots of models of observed dimensions, each given others."""

from collections.abc import Sequence
from typing import Protocol

from genexp.networks.autoregressive.base import AutoregressiveNetwork
from genexp.networks.autoregressive.order_agnostic import MaskedNetwork
from genexp.probability.observation.base import Observation


class ObservationFactory(Protocol):
    """Makes the form of p(x_d | parameters), the same for every dimension d."""

    def __call__(self, *, levels: int | None) -> Observation:
        """Called once, when the model is made.

        Args:
            levels: number of levels of the data, 2 to 256; None for continuous data.

        Returns:
            The observation model. Its ``num_params`` P is what the networks are then told.

        Raises:
            ValueError: it has no form for these levels.
        """


class ConditionalsFactory(Protocol):
    """Makes the network of the conditionals p(x_d | x_<d), in one order or several."""

    def __call__(
        self, *, shape: Sequence[int], num_params: int, num_classes: int, levels: int | None
    ) -> AutoregressiveNetwork:
        """Called once, when the model is made.

        Args:
            shape: shape of one example, e.g. (1, 28, 28) or (180,).
            num_params: parameters P of one dimension, or of one pixel where the observation model joins its channels.
            num_classes: number of labels that the network receives; 0 for an unconditional model, whose y is None.
            levels: number of levels of the data, whose x are multiples of 1 / (levels - 1); None for continuous data.

        Returns:
            A network x ``(B, *shape)`` in [0, 1], y ``(B,)`` or None, order -> parameters ``(B, P, *shape)``, or
            ``(B, P, 1, H, W)`` where the channels of a pixel are drawn together. Its ``group`` is that of the observation model.

        Raises:
            ValueError: it has no form for data of this shape or these levels.
        """


class MaskedNetworkFactory(Protocol):
    """Makes the network of the conditionals p(x_d | x_given) for every set of given dimensions."""

    def __call__(self, *, shape: Sequence[int], num_params: int, num_classes: int, levels: int | None) -> MaskedNetwork:
        """Called once, when the model is made.

        Args:
            shape, num_classes, levels: see :class:`ConditionalsFactory`.
            num_params: parameters P of one dimension.

        Returns:
            A network x ``(B, *shape)`` in [0, 1] and 0 where it is missing, mask ``(B, *shape)`` of 1 where x is given and 0
            where it is missing, y ``(B,)`` or None -> parameters ``(B, P, *shape)``.
        """
