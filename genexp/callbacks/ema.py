"""An exponential moving average of the weights, which validation, sample grids and the evaluation use."""

from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from genexp.families.base import GenerativeModule


class EMA(Callback):
    """After every optimizer step: average <- decay * average + (1 - decay) * weights.

    Buffers, such as the running statistics of batch norm, are copied. The average is in the checkpoint's entry ``ema``,
    beside the weights that training continues from in ``state_dict``.

    Args:
        decay: in (0, 1).
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._step = 0

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        state = pl_module.state_dict()
        self.average = {k: self.average.get(k, v).detach().clone().to(v.device) for k, v in state.items()}
        self._step = pl_module.steps

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        if pl_module.steps == self._step:
            return  # gradients are still being accumulated
        self._step = pl_module.steps
        parameters = {name for name, _ in pl_module.named_parameters()}
        for name, value in pl_module.state_dict().items():
            if name in parameters:
                self.average[name].lerp_(value, 1 - self.decay)
            else:
                self.average[name].copy_(value)

    def on_validation_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        self._weights = {k: v.detach().clone() for k, v in pl_module.state_dict().items()}
        pl_module.load_state_dict(self.average)

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        pl_module.load_state_dict(self._weights)
        self._weights = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: GenerativeModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["ema"] = self.average

    def on_load_checkpoint(self, trainer: Trainer, pl_module: GenerativeModule, checkpoint: dict[str, Any]) -> None:
        self.average = checkpoint["ema"]
