"""Adam on gradients of norm 1, tensor by tensor: an optimizer that a family can be given beside those of PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Adam


class AdamNormGrad(Adam):
    """Adam (Kingma & Ba, ICLR 2015) in which every parameter's gradient g is first replaced by g / (||g|| + 1e-7).

    The optimizer of the code of Tomczak & Welling (AISTATS 2018), which their paper calls Adam with normalised gradients (Yu
    et al. 2017). The norm is of a whole parameter, whatever its shape. Weight decay is added afterwards, as there. Gradients
    of a small batch or late in training count as much as any, so that Adam's second moment no longer follows their size.
    Its state is that of Adam.

    Args:
        params, options: as of ``torch.optim.Adam``.

    Raises:
        ValueError: ``fused`` is set: a fused step removes the loss scale of float16 by itself, after the normalisation.
    """

    def __init__(self, params: Any, **options: Any) -> None:
        if options.get("fused"):
            raise ValueError(f"fused={options['fused']}: AdamNormGrad has no fused step; leave it out")
        super().__init__(params, **options)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad /= torch.linalg.vector_norm(parameter.grad) + 1e-7
        super().step()
        return loss
