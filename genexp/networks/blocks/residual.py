"""The pre-activation residual block of convolutional networks."""

from torch import Tensor, nn

from genexp.networks.blocks.base import Block


class ResidualBlock(Block):
    """x + conv(f(conv(f(x)))) with 3x3 convolutions: ``(B, F, H, W)`` -> ``(B, F, H, W)``."""

    def __init__(self, features: int, activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            activation,
            nn.Conv2d(features, features, 3, padding=1),
            activation,
            nn.Conv2d(features, features, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
