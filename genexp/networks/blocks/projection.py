"""How a discriminator takes the label into account: by a projection."""

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """Adds <V y, phi(x)> to the logit of "real" (Miyato & Koyama, "cGANs with projection discriminator", ICLR 2018, equations 3
    and 4), y the one-hot label and phi(x) the last features of the discriminator.

    Args:
        features: number of features F.
        num_classes: number of labels K.
    """

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(features, num_classes, bias=False)  # its rows are the columns of V

    def forward(self, logits: Tensor, phi: Tensor, y: Tensor) -> Tensor:
        """logits ``(B, num_outputs)``, of which column 0 is changed, phi ``(B, F)``, y ``(B,)`` -> ``(B, num_outputs)``."""
        real = logits[:, :1] + self.embedding(phi).gather(1, y[:, None])
        return torch.cat([real, logits[:, 1:]], dim=1)
