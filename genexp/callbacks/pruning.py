"""Reports of a run to the study that it is a trial of, and the end of a trial without hope."""

from typing import Any, Protocol

from pytorch_lightning import Callback, Trainer

from genexp.families.base import GenerativeModule


class Trial(Protocol):
    """What a callback needs of ``optuna.Trial``."""

    def report(self, value: float, step: int) -> None: ...

    def should_prune(self) -> bool: ...


class Pruned(SystemExit):
    """The pruner of the study ended the run, which is no failure: the process ends with 0.

    Args:
        reason: the value and when it was reached.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(0)
        self.reason = reason


class Pruning(Callback):
    """After every validation that has the metric, it goes to the trial, with the images seen as its step; the run ends with
    :class:`Pruned` if the pruner says so, unless training is at its end anyway.

    Stands before the callback that writes checkpoints: a value is reported before the checkpoint that follows it, and a
    resumed run, which may come by the same step again, does not report that twice. The run ends after the checkpoint.

    Args:
        trial: in the first process; None in the further ones of a distributed run.
        metric: name of a validation metric, ``val/...``.
        reported: steps that the trial has values of.
    """

    def __init__(self, trial: Trial | None, metric: str, reported: set[int]) -> None:
        self.trial, self.metric, self.reported = trial, metric, reported
        self._reason: str | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if self.metric not in trainer.callback_metrics:
            return  # not measured after this validation
        value, images = float(trainer.callback_metrics[self.metric]), pl_module.images_seen
        is_hopeless = False
        if self.trial is not None:
            if images not in self.reported:
                self.reported.add(images)
                self.trial.report(value, images)
            is_hopeless = not trainer.should_stop and self.trial.should_prune()
        if trainer.strategy.reduce_boolean_decision(is_hopeless, all=False):
            self._reason = f"{self.metric} is {value:.4g} after {images:,} images"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        self._leave()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._leave()  # after a validation within an epoch

    def _leave(self) -> None:
        if self._reason is not None:
            raise Pruned(self._reason)
