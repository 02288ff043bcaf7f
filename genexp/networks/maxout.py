"""Maxout, an activation that takes several linear maps of its input."""

from torch import Tensor, nn


class Maxout(nn.Module):
    """h_j = max_k z_kj, the z_k being linear maps of the layer's input, parts of one matrix (Goodfellow, Warde-Farley, Mirza,
    Courville, Bengio, "Maxout networks", ICML 2013, section 3): ``(B, pieces F)`` -> ``(B, F)``.

    Args:
        pieces: number of linear maps, at least 2.
    """

    def __init__(self, pieces: int) -> None:
        super().__init__()
        if pieces < 2:
            raise ValueError(f"pieces={pieces}: must be at least 2")
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.pieces, -1)).amax(1)
