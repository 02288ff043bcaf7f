"""The part of a deep network that repeats."""

from torch import nn


class Block(nn.Module):
    """A part of a network whose parameters are used inside its own ``forward`` only, and by samplers.

    Activation checkpointing recomputes it as a whole, and fully sharded training gathers its parameters as a whole."""
