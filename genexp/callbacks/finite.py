"""Numbers that are no longer finite: noticed within the step that makes them, and never saved."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

from genexp.callbacks.ema import EMA
from genexp.families.base import GenerativeModule

LONGEST = 1000
"""Batches after which the device is asked at the latest."""


class TrainingDiverged(FloatingPointError):
    """A loss or a weight is no longer finite. ``exit_code`` is that of the command."""

    exit_code: ClassVar[int] = 3


@dataclass(frozen=True)
class Looked:
    """What a batch gave: the names of its values, and where it was in the training."""

    names: tuple[str, ...]
    step: int
    images: int
    epoch: int
    batch: int


class Finite(Callback):
    """Ends the run with :class:`TrainingDiverged` when a training value or a weight is not finite, and before anything that is
    not finite is saved.

    After every batch the values, and of each optimizer's weights the largest, are kept on their device. On a CPU they are
    looked at there and then. A GPU would have to be waited for: so they are read when training waits for it anyway, at the
    latest when the losses are logged or something is saved, and the message names the batch that was the first all the same.
    A gradient that overflows in float16 is none of this: its scaler leaves the update out. Every process comes to the same
    decision at the same batch.

    Args:
        average: of the weights, where a run has one.
    """

    def __init__(self, average: EMA | None) -> None:
        self.average = average
        self._rows: list[Tensor] = []
        self._looked: list[Looked] = []
        self._constant: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        # such as a mask of -inf, which a model may keep
        self._constant = {name for name, value in pl_module.named_buffers() if not is_finite([value])}

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: GenerativeModule, outputs: dict[str, Tensor], batch: Any, batch_idx: int
    ) -> None:
        values = {f"train/{name}": value.detach() for name, value in (outputs or pl_module.pending_values).items()}
        whose = [f" of the {player}" for player in pl_module.players] or [""]
        for player, optimizer in zip(whose, trainer.optimizers, strict=True):
            values[f"a weight{player}"] = largest(p for group in optimizer.param_groups for p in group["params"])
        self._rows.append(torch.stack(list(values.values())))
        step = pl_module.steps + (not pl_module.at_boundary)
        where = step, pl_module.images_seen, trainer.current_epoch + 1, batch_idx + 1
        self._looked.append(Looked(tuple(values), *where))
        if reading_is_free(self._rows[-1]) or len(self._rows) >= LONGEST:
            self.look(trainer)

    def look(self, trainer: Trainer) -> None:
        """Read what was kept. Called by all processes at the same batch.

        Raises:
            TrainingDiverged: one of them was not finite; names the first, and its batch.
        """
        if not self._rows:
            return
        rows, looked = torch.cat(self._rows), self._looked
        self._rows, self._looked = [], []
        values = iter(trainer.strategy.reduce(rows, reduce_op="sum").tolist())
        for batch in looked:
            for name in batch.names:
                if not math.isfinite(value := next(values)):
                    raise TrainingDiverged(
                        f"{name} is {value} at step {batch.step} (batch {batch.batch} of epoch {batch.epoch}, "
                        f"{batch.images:,} images): training has diverged; try a smaller learning rate or "
                        "training.gradient_clip_norm"
                    )

    def check_state(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        """Look at all that a checkpoint would hold: weights, buffers, their average and the optimizers' states. Called by all
        processes before one is written.

        Raises:
            TrainingDiverged: some of it is not finite.
        """
        self.look(trainer)
        parts = self._state(trainer, pl_module)
        wrong = next((name for name, tensors in parts.items() if not is_finite(tensors)), None)
        if trainer.strategy.reduce_boolean_decision(wrong is not None, all=False):
            raise TrainingDiverged(
                f"{wrong or 'a weight of another process'} is not finite after step {pl_module.steps} "
                f"({pl_module.images_seen:,} images): training has diverged, and that is not saved; try a smaller learning rate "
                "or training.gradient_clip_norm"
            )

    def _state(self, trainer: Trainer, model: GenerativeModule) -> dict[str, list[Tensor]]:
        """The tensors of a checkpoint, by what they are."""
        parts = {name: [value] for name, value in model.state_dict().items() if name not in self._constant}
        if self.average is not None:
            kept = [value for name, value in self.average.average.items() if name not in self._constant]
            parts["the average of the weights"] = kept
        whose = [f" of the {player}" for player in model.players] or [""]
        for player, optimizer in zip(whose, trainer.optimizers, strict=True):
            parts[f"the state of the optimizer{player}"] = list(tensors(optimizer.state))
        return parts


def reading_is_free(tensor: Tensor) -> bool:
    """Whether nothing has to be waited for before a tensor can be read."""
    return tensor.device.type == "cpu"


def local(tensor: Tensor) -> Tensor:
    """The tensor, or what this process has of one that is shared out."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


@torch.no_grad()
def largest(values: Iterable[Tensor]) -> Tensor:
    """The largest absolute value of all numbers in floating-point tensors, a scalar: NaN where there is one, 0 where there are
    none."""
    parts = [part for value in values if value.is_floating_point() and (part := local(value).detach()).numel()]
    on_cpu = [part for part in parts if part.device.type == "cpu"]
    elsewhere = [part for part in parts if part.device.type != "cpu"]
    if on_cpu:  # ten times as fast as the norm there
        ends = torch.stack([end for part in on_cpu for end in torch.aminmax(part)])
        elsewhere.append(ends.abs().amax())
    return elsewhere[0] if on_cpu and len(elsewhere) == 1 else get_total_norm(elsewhere, math.inf)


def is_finite(values: Iterable[Tensor]) -> bool:
    """Whether all numbers of all tensors are finite."""
    return math.isfinite(largest(values))
