"""An exponential moving average of the weights, which validation, sample grids and the evaluation use."""

from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from genexp.families.base import GenerativeModule


class EMA(Callback):
    """After every training step: average <- decay * average + (1 - decay) * weights.

    With a half-life the decay of a step is ``0.5 ** (images of the step / half_life_images)``, whatever the batch size (Karras
    et al. 2022, EDM, appendix F.2; without their ramp-up). The family says which parameters are averaged; all else, such as
    the running statistics of batch norm, is copied. The average is in the checkpoint's entry ``ema``, beside the weights that
    training continues from in ``state_dict``.

    Args:
        decay: in (0, 1); None where there is a half-life.
        half_life_images: training images, over all processes, after which a weight counts half; positive.
    """

    def __init__(self, decay: float | None, half_life_images: float | None) -> None:
        self.decay, self.half_life = decay, half_life_images
        self.average: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._images = 0

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        state = pl_module.state_dict()
        self.average = {k: self.average.get(k, v).detach().clone().to(v.device) for k, v in state.items()}
        self._images = pl_module.images_seen

    @torch.no_grad()
    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        if not pl_module.at_boundary:
            return  # gradients are still being accumulated
        images, self._images = pl_module.images_seen - self._images, pl_module.images_seen
        decay = self.decay if self.half_life is None else 0.5 ** (images / self.half_life)
        averaged = pl_module.averaged()
        for name, value in pl_module.state_dict().items():
            if name in averaged:
                self.average[name].lerp_(value, 1 - decay)
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
