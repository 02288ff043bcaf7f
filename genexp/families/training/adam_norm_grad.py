"""Adam on gradients of norm 1, tensor by tensor: an optimizer that a family can be given beside those of PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from genexp.ranges import at_least, positive


class AdamNormGrad(Optimizer):
    """Adam (Kingma & Ba, ICLR 2015) in which every parameter's gradient g is first replaced by g / (||g|| + 1e-7).

    The optimizer of the code of Tomczak & Welling ("VAE with a VampPrior", AISTATS 2018). The norm is that of a whole
    parameter, whatever its shape; weight decay is added afterwards, as there. Gradients are used as they are in direction
    only, so a step that happens to have large ones counts no more than others. Written out and no subclass of
    ``torch.optim.Adam``, whose step has no public place between the closure, which computes the gradients, and their use.

    Args:
        params: parameters, or groups of them.
        lr: learning rate, above 0.
        betas: decay of the two moments, in [0, 1).
        eps: added to the root of the second moment.
        weight_decay: this multiple of a parameter is added to its normalised gradient, at least 0.

    Raises:
        ValueError: an argument is outside its range.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        positive(lr=lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={betas}: must be in [0, 1)")
        at_least(0, weight_decay=weight_decay)
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    @torch.no_grad()
    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        gradient = parameter.grad / (torch.linalg.vector_norm(parameter.grad) + 1e-7)
        gradient = gradient + group["weight_decay"] * parameter if group["weight_decay"] else gradient
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        correction1, correction2 = (1 - beta ** state["step"] for beta in (beta1, beta2))
        root = state["exp_avg_sq"].sqrt().add_(group["eps"])  # before the correction, as in that code
        parameter.addcdiv_(state["exp_avg"], root, value=-group["lr"] * correction2**0.5 / correction1)
