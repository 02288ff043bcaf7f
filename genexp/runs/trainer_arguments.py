"""Which arguments of Lightning's trainer a config may set. Nothing is imported that is heavy."""

from collections.abc import Mapping
from typing import Any

from genexp.record.errors import ConfigError, check_choice, nearest

FREE = (
    "accelerator",
    "strategy",
    "devices",
    "num_nodes",
    "precision",
    "sync_batchnorm",
    "deterministic",
    "benchmark",
    "inference_mode",
    "detect_anomaly",
    "profiler",
)
"""They change how a run is computed or what else watches it."""
PROFILERS = ("simple", "advanced")
"""By their names in Lightning, written to ``profile.txt``; one of another kind, or with settings, is given as an object."""
END = "a training ends at training.max_images, max_steps or max_epochs; a run that is stopped goes on with genexp train run=..."
VALIDATION = "every validation is of the whole split, since it chooses the best checkpoint; data has the splits"
EVALUATION = "metrics and evaluation say what is computed, and of how much"
REFUSED = {
    "logger": "use logger=...",
    "callbacks": "use callbacks=..., e.g. callbacks=[lr_monitor,rich_summary], or '+callbacks.mine={_target_: mymodule.Mine}'",
    "fast_dev_run": "use debug=fast",
    "max_epochs": "use training.max_epochs",
    "min_epochs": END,
    "max_steps": "use training.max_steps, which counts the steps of the generator once",
    "min_steps": END,
    "max_time": END,
    "limit_train_batches": "use data.limit, a number of examples, or debug=limit",
    "limit_val_batches": VALIDATION,
    "limit_test_batches": EVALUATION,
    "limit_predict_batches": "nothing is predicted here; genexp sample draws",
    "overfit_batches": "use debug=overfit",
    "val_check_interval": "use training.validate_every_epochs",
    "check_val_every_n_epoch": "use training.validate_every_epochs",
    "num_sanity_val_steps": "a batch is tried before every training anyway",
    "log_every_n_steps": "use training.log_every_steps",
    "enable_checkpointing": "every run writes checkpoints; use training.checkpoint_every_minutes",
    "enable_progress_bar": "progress is a bar in a terminal, and a line now and then elsewhere",
    "enable_model_summary": "the number of parameters is told when a run begins",
    "accumulate_grad_batches": "use training.accumulate_batches",
    "gradient_clip_val": "use training.gradient_clip_norm",
    "gradient_clip_algorithm": "gradients are clipped by their norm; use training.gradient_clip_norm",
    "use_distributed_sampler": "the data share their batches out themselves",
    "barebones": "a run keeps a record; use training.log_every_steps for less of it",
    "plugins": "use trainer.precision and trainer.strategy",
    "reload_dataloaders_every_n_epochs": "the order of the data is a function of seed and epoch",
    "default_root_dir": "use name, the run's folder under outputs/",
    "enable_autolog_hparams": "the config is recorded as it is; use logger=...",
    "model_registry": "checkpoints are in the run's folder; use logger=...",
}
"""They would have no effect, or break what a run promises: what to do instead."""


def check_arguments(settings: Mapping[str, Any]) -> None:
    """Refuse arguments that are not for a config.

    Args:
        settings: ``conf/trainer`` as composed.

    Raises:
        ConfigError: naming the argument, and the key to use.
    """
    for name, value in settings.items():
        if name in REFUSED:
            raise ConfigError(f"trainer.{name}={value}: not a setting of a run; {REFUSED[name]}")
        if name not in FREE and not name.startswith("_"):
            known = [*FREE, *REFUSED]
            raise ConfigError(
                f"trainer.{name}={value}: Lightning's trainer has no such argument.{nearest(name, known)}"
            )
    if isinstance(profiler := settings.get("profiler"), str):
        if profiler == "pytorch":
            raise ConfigError(
                "trainer.profiler=pytorch: must be an object, so that it says what it records and where its table goes: "
                "{_target_: pytorch_lightning.profilers.PyTorchProfiler, filename: profile} writes into the run's folder"
            )
        check_choice("trainer.profiler", profiler, PROFILERS)
