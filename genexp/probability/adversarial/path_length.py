"""Path length regularisation: steps of equal length in w shall change the image equally much (Karras et al., "Analyzing and
improving the image quality of StyleGAN", CVPR 2020, section 3.2)."""

import torch
from torch import Tensor, nn

from genexp.ranges import at_least, inside


class PathLength(nn.Module):
    """weight (|J_w^T eps| - a)^2 with J_w = dG/dw and eps ~ N(0, I / (H W)) (equation 4). a is the running mean of the lengths,
    which takes in those of a batch before it is compared with them; as in the equation, and not in the authors' code, no
    gradient passes through a.

    Args:
        weight: gamma_pl, at least 0.
        decay: share of a batch in a, in (0, 1]; 0.01 in the paper.
        every: the penalty is for every so many steps, and its weight then so many times as large; whoever calls sees to both
            (lazy regularisation, section 3.1). At least 1; 8 in the paper.
    """

    def __init__(self, *, weight: float, decay: float, every: int) -> None:
        super().__init__()
        at_least(0, weight=weight)
        inside(0, 1, ends="(]", decay=decay)
        at_least(1, every=every)
        self.weight, self.decay, self.every = weight, decay, every
        self.register_buffer("mean", torch.zeros(()))
        """a, a scalar."""

    def forward(self, x: Tensor, w: Tensor, eps: Tensor | None = None) -> Tensor:
        """The penalty of each example. In training mode the running mean takes note of the lengths.

        Args:
            x: images ``(B, C, H, W)``, made from w; no example depends on another's w.
            w: ``(B, w_dim)``, or one for each layer, ``(B, L, w_dim)``: the squared lengths are then averaged over the layers.
            eps: draws from N(0, I), of the shape of x; None draws them here.

        Returns:
            ``(B,)``, with gradients to what made x and w.
        """
        eps = torch.randn_like(x) if eps is None else eps
        scale = 1 / x[0, 0].numel() ** 0.5
        (gradient,) = torch.autograd.grad((x * eps).sum() * scale, w, create_graph=True)
        layers = gradient[0].numel() / gradient.shape[-1]
        lengths = gradient.flatten(1).norm(dim=1) / layers**0.5
        if self.training:
            self.mean.lerp_(lengths.detach().mean().to(self.mean.dtype), self.decay)
        return self.weight * (lengths - self.mean) ** 2
