"""Which of Lightning's callbacks a config may name. Nothing is imported that is heavy."""

from collections.abc import Mapping, Sequence
from typing import Any

from genexp.record.errors import ConfigError, shown

REFUSED = {
    "GradientAccumulationScheduler": "steps are counted by training.accumulate_batches; use that",
    "BatchSizeFinder": "use training.batch_size, e.g. a sweep over it",
    "LearningRateFinder": "a sweep over the optimizer's lr finds one, e.g. sweep=tpe",
    "StochasticWeightAveraging": "use training.ema_decay or training.ema_half_life_images",
    "WeightAveraging": "use training.ema_decay or training.ema_half_life_images",
    "EMAWeightAveraging": "use training.ema_decay or training.ema_half_life_images",
    "ModelPruning": "it gives the weights other names, by which no checkpoint would load",
    "BasePredictionWriter": "nothing is predicted here; genexp sample draws",
}
"""They would have no effect, or break what a run promises: what to do instead."""
BARS = ("ProgressBar", "RichProgressBar", "TQDMProgressBar")
"""Callbacks that show progress, of which a run has one."""
LIGHTNING = "pytorch_lightning.callbacks."


def check_callbacks(nodes: Any, progress: Any) -> None:
    """Refuse what can be seen to be wrong in the section ``callbacks``.

    Args:
        nodes: the section, resolved.
        progress: that section.

    Raises:
        ConfigError: naming the callback, and the key to use.
    """
    if nodes is None:
        return
    if not isinstance(nodes, Mapping):
        raise ConfigError(
            f"callbacks={shown(nodes)}: must be options of conf/callbacks, or callbacks by name: {{mine: {{_target_: ...}}}}"
        )
    for name, node in nodes.items():
        key = f"callbacks.{name}"
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise ConfigError(f"{key}={shown(node)}: must be a callback: {{_target_: ...}}")
        if node.get("_partial_"):
            raise ConfigError(f"{key}._partial_=true: must be a callback, not a function that makes one")
        target = str(node["_target_"])
        if target.startswith(LIGHTNING):
            refuse_kinds(key, [target.rpartition(".")[2]], progress)
            if target.endswith(".EarlyStopping"):
                check_early_stopping(key, node.get("check_on_train_epoch_end"))


def refuse_kinds(key: str, kinds: Sequence[str], progress: Any) -> None:
    """Refuse a callback by the names of Lightning's classes that it is one of.

    Args:
        key: of the callback.
        kinds: the names.
        progress: the section of that name.

    Raises:
        ConfigError: naming what to do instead.
    """
    for kind in kinds:
        if kind in REFUSED:
            raise ConfigError(f"{key}: {kind} does not go with genexp's training; {REFUSED[kind]}")
        if kind in BARS and progress is not None:
            raise ConfigError(f"{key}: genexp shows progress itself; progress=null leaves it to {kind}")


def check_early_stopping(key: str, at_epoch_end: Any) -> None:
    """Refuse an early stopping that counts after the checkpoint of a validation is written: a continued run would count anew.

    Args:
        key: of the callback.
        at_epoch_end: its ``check_on_train_epoch_end``.

    Raises:
        ConfigError: naming what to set.
    """
    if at_epoch_end is not False:
        raise ConfigError(
            f"{key}.check_on_train_epoch_end={shown(at_epoch_end)}: must be false, so that a checkpoint keeps the count; or use "
            "training.patience, with training.monitor"
        )
