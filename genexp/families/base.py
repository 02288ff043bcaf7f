"""The contract of every generative family.

A batch is ``(x, y)``. ``x`` lives in the data space: uint8 ``(B, *shape)`` with values in ``[0, levels)``, or
float32 ``(B, *shape)`` when ``levels`` is None. ``y`` is int64 ``(B,)`` with values in ``[0, num_classes)``, or None.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from genexp.networks.blocks.base import Block
from genexp.probability.randomness import StepDraws


class GenerativeModule(LightningModule, ABC):
    """A generative model p(x), or p(x | y) when conditional, over the data space.

    Args:
        shape: shape of one example, e.g. (1, 28, 28) or (180,).
        levels: number of values a dimension can take; None for continuous data.
        num_classes: number of labels of the data set; None if it has none.
        conditional: model p(x | y) instead of p(x).
        optimizer: called with the parameters, returns the optimizer.
        scheduler: called with the optimizer, returns a learning-rate scheduler stepped once per training step;
            None for a constant rate.

    Raises:
        ValueError: the model is conditional and the data have no labels, or ``levels`` is below 2.
    """

    players: ClassVar[tuple[str, ...]] = ()
    """Names of the networks that have an optimizer each, in their order, of a family that steps several itself."""

    def __init__(
        self,
        *,
        shape: Sequence[int],
        levels: int | None,
        num_classes: int | None,
        conditional: bool,
        optimizer: Callable[..., Optimizer] | None = None,
        scheduler: Callable[[Optimizer], Any] | None = None,
    ) -> None:
        super().__init__()
        if levels is not None and not 2 <= levels <= 256:
            raise ValueError(f"levels={levels}: must be between 2 and 256 (uint8), or null for continuous data")
        if conditional and not num_classes:
            raise ValueError("conditional=true needs data with labels, but num_classes is null")
        self.shape = tuple(shape)
        self.levels = levels
        self.num_classes = num_classes
        self.conditional = conditional
        self.label_width = num_classes if conditional else 0
        """Width of a one-hot label as the networks receive it; 0 for an unconditional model."""
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.images_seen = 0
        """Training examples seen so far, over all processes: the clock of schedules and of the history."""
        self.steps = 0
        """Training steps so far; one generator update is one step, whatever the number of optimizers and of batches."""
        self.accumulate_batches = 1
        """Batches whose gradients are averaged for an update."""
        self.reference_lines: dict[str, tuple[float, str]] = {}
        """Constants to compare a logged quantity with, such as its optimum, by its name: value and label."""
        self.differentiates_twice = False
        """Whether training differentiates gradients, which compiled networks cannot do."""
        self.images_pending = 0
        """Training examples since the last training step, over all processes."""
        self._share = 1.0
        self.draws: StepDraws | None = None
        """Where :meth:`noise` draws from during a training or validation step."""
        self.track: Callable[[Iterable[int], str], Iterable[int]] = untracked
        """Shows the progress of a long loop, called with its steps and what it does; who has a terminal sets it."""

    @property
    def dims(self) -> int:
        """Number of dimensions of one example."""
        return int(torch.Size(self.shape).numel())

    @abstractmethod
    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Per-example training objective.

        Args:
            x: ``(B, *shape)`` in the data space.
            y: ``(B,)`` labels, or None; ignored by an unconditional model.

        Returns:
            Tensors of shape ``(B,)``. The entry ``loss`` is minimised; the others are logged.
        """

    @abstractmethod
    def draw(self, n: int, y: Tensor | None, **knobs: Any) -> Tensor:
        """Draw ``n`` examples ``(n, *shape)`` in the data space. Called by :meth:`sample` in evaluation mode, without
        gradients; ``y`` is ``(n,)`` if and only if the model is conditional."""

    def sample(self, n: int, y: Tensor | int | None = None, **knobs: Any) -> Tensor:
        """Draw from the model.

        Args:
            n: number of examples, at least 1.
            y: labels ``(n,)`` or one label for all, for a conditional model; None draws labels uniformly.
            knobs: options of the family's sampler, e.g. ``temperature``.

        Returns:
            ``(n, *shape)`` in the data space: uint8 in ``[0, levels)``, float32 if ``levels`` is None.

        Raises:
            ValueError: ``n`` < 1, labels that are no whole numbers, out of range or of the wrong number, labels for an
                unconditional model, or a knob that this sampler does not have.
        """
        if n < 1:
            raise ValueError(f"n={n}: must be at least 1")
        self.check_knobs(knobs)
        y = self._sample_labels(n, y)
        with self.evaluating(), torch.no_grad():
            return self.draw(n, y, **knobs)

    def check_knobs(self, knobs: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` for an option that the sampler of this family does not have."""
        parameters = signature(self.draw).parameters.values()
        known = [p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
        if not any(p.kind is Parameter.VAR_KEYWORD for p in parameters):
            for knob in knobs.keys() - set(known):
                has = f"has the knobs {', '.join(known)}" if known else "has no knobs"
                raise ValueError(f"{knob}={knobs[knob]}: the sampler of {type(self).__name__} {has}")

    def _sample_labels(self, n: int, y: Tensor | int | None) -> Tensor | None:
        if not self.conditional:
            if y is not None:
                raise ValueError("labels given, but the model is unconditional: train with model.conditional=true")
            return None
        if y is None:
            return torch.randint(self.num_classes, (n,), device=self.device)
        y = torch.as_tensor(y, device=self.device)
        if y.is_floating_point():
            raise ValueError(f"labels must be whole numbers: got {y.dtype}")
        y = y.expand(n) if y.ndim == 0 else y
        if y.shape != (n,):
            raise ValueError(f"labels have shape {tuple(y.shape)}: must be one label, or ({n},)")
        if y.min() < 0 or y.max() >= self.num_classes:
            raise ValueError(f"labels must be in [0, {self.num_classes - 1}]: got {int(y.min())} to {int(y.max())}")
        return y.long()

    def labels(self, y: Tensor | None) -> Tensor | None:
        """The labels that the networks receive: ``y`` for a conditional model, None for an unconditional one.

        Raises:
            ValueError: the model is conditional and ``y`` is None.
        """
        if not self.conditional:
            return None
        if y is None:
            raise ValueError("the model is conditional: labels y are needed")
        return y

    def noise(self, n: int, *shape: int) -> Tensor:
        """Standard-normal draws ``(n, *shape)`` for the n examples of a batch. In a training or validation step they
        are those of the whole batch over all processes, of which this process keeps its rows."""
        if self.draws is None:
            return torch.randn(n, *shape, device=self.device, dtype=self.dtype)
        return self.draws.normal(n, *shape, device=self.device, dtype=self.dtype)

    def uniform(self, n: int, *shape: int) -> Tensor:
        """As :meth:`noise`, draws from [0, 1)."""
        if self.draws is None:
            return torch.rand(n, *shape, device=self.device, dtype=self.dtype)
        return self.draws.uniform(n, *shape, device=self.device, dtype=self.dtype)

    def common_integer(self, high: int) -> int:
        """A draw from {0, ..., high - 1}, the same on all processes during a training or validation step."""
        return int(torch.randint(high, ())) if self.draws is None else self.draws.integer(high)

    def networks(self) -> Iterator[nn.Module]:
        """The modules that the family calls as they are: its children, and those of families among these."""
        for child in self.children():
            if isinstance(child, GenerativeModule):
                yield from child.networks()
            else:
                yield child

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

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode inside the block; afterwards the mode that was there before."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)

    def reduce(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The one reduction over the batch: the mean of every ``(B,)`` entry."""
        return {name: value.mean() for name, value in losses.items()}

    @property
    def batches_per_step(self) -> int:
        """Batches of a training step."""
        return self.accumulate_batches

    @property
    def at_boundary(self) -> bool:
        """Whether the last training batch completed a training step, so that no gradient is pending."""
        return self.images_pending == 0

    def completes_step(self, batch_idx: int) -> bool:
        """Whether this batch is the last of its training step: every ``batches_per_step``-th, or an epoch's last."""
        return (batch_idx + 1) % self.batches_per_step == 0 or self.trainer.is_last_batch

    def batches_of_step(self, batch_idx: int) -> int:
        """How many batches the training step of this batch has; fewer at the end of an epoch."""
        first = batch_idx - batch_idx % self.batches_per_step
        return min(self.batches_per_step, int(min(self.trainer.num_training_batches, 2**62)) - first)

    def count(self, x: Tensor, batch_idx: int) -> None:
        """Advance the clock by the batch ``x`` (of the same size on every process)."""
        images = len(x) * self.trainer.world_size
        self.images_seen += images
        self.images_pending += images
        if self.completes_step(batch_idx):
            self.steps += 1
            self.images_pending = 0

    def training_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> dict[str, Tensor]:
        x, y = batch
        losses = self.reduce(self.loss(x, y))
        self.count(x, batch_idx)
        self._share = 1 / self.batches_of_step(batch_idx)
        losses["loss"] = losses["loss"] * self.trainer.accumulate_grad_batches  # by which Lightning divides it
        return losses

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The gradient of a step is the mean over its batches, of which an epoch's last step may have fewer."""
        super().backward(loss * self._share, *args, **kwargs)

    def validation_step(self, batch: tuple[Tensor, Tensor | None], batch_idx: int) -> None:
        x, y = batch
        for name, value in self.reduce(self.loss(x, y)).items():
            # not to the loggers: the history gives them every value once, with the images seen
            self.log(
                f"val/{name}", value, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(x), logger=False
            )

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer_factory(self.parameters())
        if self.scheduler_factory is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.scheduler_factory(optimizer), "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"], checkpoint["steps"] = self.images_seen, self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen, self.steps = checkpoint["images_seen"], checkpoint["steps"]


def untracked(steps: Iterable[int], what: str) -> Iterable[int]:
    """The steps themselves."""
    return steps
