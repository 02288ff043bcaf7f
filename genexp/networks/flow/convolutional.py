"""Networks of coupling layers on images: what a layer does to some channels, given others and a context."""

from typing import Protocol

from torch import Tensor, nn

from genexp.networks.blocks.residual import ResidualBlock
from genexp.ranges import at_least


class CouplingNetworkFactory(Protocol):
    """Makes the network of a layer."""

    def __call__(self, *, in_channels: int, out_channels: int, context_dim: int) -> nn.Module:
        """A network of x ``(B, in_channels, H, W)`` and a context ``(B, context_dim)``, or None, that gives
        ``(B, out_channels, H, W)``."""


def last_convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3x3, and nearly 0 at the beginning: a layer begins near the identity, as in "Glow", where it is 0; here all weights have a
    gradient from the first step on."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    nn.init.normal_(layer.weight, 0, 1e-3)
    nn.init.zeros_(layer.bias)
    return layer


class CouplingNetwork(nn.Module):
    """A first layer, to whose channels a linear function of the context is added, and what follows it.

    Args:
        first: from x to ``width`` channels.
        rest: the other layers.
        width: channels of the first layer.
        context_dim: dimensions of the context; 0 for none.
    """

    def __init__(self, first: nn.Module, rest: nn.Module, width: int, context_dim: int) -> None:
        super().__init__()
        self.first, self.rest = first, rest
        self.by_context = nn.Linear(context_dim, width, bias=False) if context_dim else None

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        h = self.first(x)
        if self.by_context is not None:
            h = h + self.by_context(context)[:, :, None, None]
        return self.rest(h)


class ShallowNetwork(CouplingNetwork):
    """Convolutions of 3x3, 1x1 and 3x3 with ReLU (Kingma & Dhariwal, "Glow", 2018, section 3.3), without
    normalisations between them.

    Args:
        in_channels, out_channels, context_dim: see :class:`CouplingNetworkFactory`.
        width: channels of the hidden layers, at least 1.
    """

    def __init__(self, *, in_channels: int, out_channels: int, context_dim: int, width: int) -> None:
        at_least(1, width=width)
        rest = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), last_convolution(width, out_channels))
        super().__init__(nn.Conv2d(in_channels, width, 3, padding=1), rest, width, context_dim)


class ResidualNetwork(CouplingNetwork):
    """Residual blocks between two convolutions of 3x3 (Dinh et al., "Density estimation using Real NVP", 2017, section 4.1, where
    they have weight and batch normalisation).

    Args:
        in_channels, out_channels, context_dim: see :class:`CouplingNetworkFactory`.
        width: channels of the blocks, at least 1.
        blocks: number of residual blocks, at least 1.
    """

    def __init__(self, *, in_channels: int, out_channels: int, context_dim: int, width: int, blocks: int) -> None:
        at_least(1, width=width, blocks=blocks)
        layers = [ResidualBlock(width, nn.ReLU()) for _ in range(blocks)]
        rest = nn.Sequential(*layers, nn.ReLU(), last_convolution(width, out_channels))
        super().__init__(nn.Conv2d(in_channels, width, 3, padding=1), rest, width, context_dim)


class LinearNetwork(CouplingNetwork):
    """One convolution of 3x3, to whose output a linear function of the context is added: of the prior of what leaves a scale
    (the code of Kingma & Dhariwal, "Glow", 2018).

    Args:
        in_channels, out_channels, context_dim: see :class:`CouplingNetworkFactory`.
    """

    def __init__(self, *, in_channels: int, out_channels: int, context_dim: int) -> None:
        super().__init__(last_convolution(in_channels, out_channels), nn.Identity(), out_channels, context_dim)
        if self.by_context is not None:
            nn.init.normal_(self.by_context.weight, 0, 1e-3)
