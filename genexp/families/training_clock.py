"""What Lightning needs of a model, and families need not know: steps of several batches, their count, sharding, checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard

from genexp.families.context import Context
from genexp.families.slots.optimisation import OptimizerFactory, SchedulerFactory
from genexp.networks.blocks.base import Block


class TrainingClock(LightningModule, ABC):
    """Trains what :meth:`loss` gives with one optimizer, and counts images and steps.

    Args:
        optimizer: :class:`~genexp.families.slots.optimisation.OptimizerFactory` of all parameters; None for a model that is
            not trained by itself.
        scheduler: :class:`~genexp.families.slots.optimisation.SchedulerFactory` of its learning rate; None for a constant rate.
    """

    players: ClassVar[tuple[str, ...]] = ()
    """Names of the networks that have an optimizer each, in their order, of a family that steps several itself."""

    def __init__(self, optimizer: OptimizerFactory | None, scheduler: SchedulerFactory | None) -> None:
        super().__init__()
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.context = Context()
        """What the model is told from outside; models inside share it."""
        self.accumulate_batches = 1
        """Batches whose gradients are averaged for an update."""
        self.differentiates_twice = False
        """Whether training differentiates gradients, which compiled networks cannot do."""
        self.images_pending = 0
        """Training examples since the last training step, over all processes."""
        self._share = 1.0

    def __setattr__(self, name: str, value: Any) -> None:
        """A model that becomes a part of this one is told what this one is told."""
        super().__setattr__(name, value)
        if isinstance(value, nn.Module):
            for part in value.modules():
                if isinstance(part, TrainingClock):
                    part.context = self.context

    # --- what a family provides --------------------------------------------------------------------------------

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Per-example training objective, ``(B,)`` each; the entry ``loss`` is minimised."""

    @abstractmethod
    def networks(self) -> Iterator[nn.Module]:
        """The modules that the family calls as they are; compiled and shared out among processes one by one."""

    # --- the clock ---------------------------------------------------------------------------------------------

    @property
    def images_seen(self) -> int:
        """See :class:`Context`."""
        return self.context.images_seen

    @images_seen.setter
    def images_seen(self, images: int) -> None:
        self.context.images_seen = images

    @property
    def steps(self) -> int:
        """See :class:`Context`."""
        return self.context.steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self.context.steps = steps

    @property
    def batches_per_step(self) -> int:
        """Batches of a training step."""
        return self.accumulate_batches

    @property
    def at_boundary(self) -> bool:
        """Whether the last training batch completed a training step, so that no gradient is pending."""
        return self.images_pending == 0

    @property
    def pending_values(self) -> dict[str, Tensor]:
        """By name, what a batch gave whose values are to be logged with its training step's; scalars."""
        return {}

    def completes_step(self, batch_idx: int) -> bool:
        """Whether this batch is the last of its training step: every ``batches_per_step``-th, or an epoch's last."""
        return (batch_idx + 1) % self.batches_per_step == 0 or self.trainer.is_last_batch

    def batches_of_step(self, batch_idx: int) -> int:
        """How many batches the training step of this batch has; fewer at the end of an epoch."""
        first = batch_idx - batch_idx % self.batches_per_step
        return min(self.batches_per_step, int(min(self.trainer.num_training_batches, 2**62)) - first)

    def counts(self, x: Tensor) -> tuple[int, int]:
        """How many examples of the batch ``x`` this process has, and all of them; see :class:`Context`."""
        return self.context.counts or (len(x), len(x) * self.trainer.world_size)

    def weight(self, x: Tensor) -> float:
        """By which a mean over the batch ``x`` is multiplied, so that the mean over the processes is that over all examples: 1
        where all have equally many."""
        here, everywhere = self.counts(x)
        return here * self.trainer.world_size / everywhere

    def count(self, x: Tensor, batch_idx: int) -> None:
        """Advance the clock by the batch ``x``."""
        _, images = self.counts(x)
        self.images_seen += images
        self.images_pending += images
        if self.completes_step(batch_idx):
            self.steps += 1
            self.images_pending = 0

    # --- steps -------------------------------------------------------------------------------------------------

    def reduce(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The one reduction over the batch: the mean of every ``(B,)`` entry."""
        return {name: value.mean() for name, value in losses.items()}

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        x, y = batch
        losses, weight = self.reduce(self.loss(x, y)), self.weight(x)
        if weight != 1:
            losses = {name: value * weight for name, value in losses.items()}
        self.count(x, batch_idx)
        self._share = 1 / self.batches_of_step(batch_idx)
        losses["loss"] = losses["loss"] * self.trainer.accumulate_grad_batches  # by which Lightning divides it
        return losses

    @property
    def is_trained(self) -> bool:
        """Whether there is a parameter to train. A model without any is what :meth:`GenerativeModule.initialise` makes of it."""
        return any(True for _ in self.parameters())

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The gradient of a step is the mean over its batches, of which an epoch's last step may have fewer."""
        if not self.is_trained:
            return
        super().backward(loss * self._share, *args, **kwargs)

    def validation_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        x, y = batch
        # a float: of whole numbers Lightning rounds the mean over the processes down
        size = float(self.counts(x)[0])
        for name, value in self.reduce(self.loss(x, y)).items():
            # not to the loggers: the history gives them every value once, with the images seen
            self.log(f"val/{name}", value, on_step=False, on_epoch=True, sync_dist=True, batch_size=size, logger=False)

    def configure_optimizers(self) -> Any:
        if not self.is_trained:
            return None
        optimizer = self.optimizer_factory(self.parameters())
        if self.scheduler_factory is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.scheduler_factory(optimizer), "interval": "step"},
        }

    # --- weights -----------------------------------------------------------------------------------------------

    def averaged(self) -> set[str]:
        """Names of the parameters that a moving average of the weights averages; of all else it has the present value."""
        return {name for name, _ in self.named_parameters()}

    def configure_model(self) -> None:
        """Share the parameters out among the processes, if the strategy is to: block by block, then what is left of each
        network."""
        if self.device_mesh is not None:
            self.to(memory_format=torch.contiguous_format)  # channels_last parameters cannot be divided
            blocks = [module for module in self.modules() if isinstance(module, Block)]
            for module in (*blocks, *self.networks()):
                if not isinstance(module, FSDPModule) and any(True for _ in module.parameters()):
                    fully_shard(module, mesh=self.device_mesh["data_parallel"])

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Inside the block, entered by all processes, each has all parameters and can call the networks alone."""
        shards = [module for module in self.modules() if isinstance(module, FSDPModule)]
        for module in shards:
            module.set_reshard_after_forward(False)
            module.unshard()
        try:
            yield
        finally:
            for module in shards:
                module.set_reshard_after_forward(True)
                module.reshard()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"], checkpoint["steps"] = self.images_seen, self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen, self.steps = checkpoint["images_seen"], checkpoint["steps"]
