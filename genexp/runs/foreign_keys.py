"""Keys that users of other frameworks, templates and scripts type, and what they are here. Nothing is imported that is heavy."""

import re
from collections.abc import Iterable, Mapping

from omegaconf import DictConfig, OmegaConf

from genexp.record.errors import ConfigError, shown
from genexp.record.identity import flatten

RATE = r"model\.(?:\w+_)?optimizer\.lr"
"""The learning rates of a model: a GAN has one for each player."""
SAME: dict[str, str] = {
    "batch_size train_batch_size bs": "training.batch_size",
    "eval_batch_size val_batch_size test_batch_size": "data.evaluation_batch_size",
    "lr learning_rate optimizer.lr optimizer.learning_rate model.lr model.learning_rate optim.lr base_lr": RATE,
    "max_epochs epochs num_epochs n_epochs trainer.max_epochs num_train_epochs": "training.max_epochs",
    "max_steps steps num_steps n_steps max_iters iterations num_iterations trainer.max_steps": "training.max_steps",
    "max_images total_images kimg": "training.max_images",
    "accelerator": "trainer.accelerator",
    "devices gpus num_gpus n_gpus ngpu gpu_ids": "trainer.devices",
    "precision": "trainer.precision",
    "num_workers workers n_workers data.workers dataloader.num_workers": "data.num_workers",
    "dataset datamodule dataset_name data_name": "data=",
    "arch net model_name network algorithm": "model=",
    "data_dir data_path dataset_path root data_root data.data_dir data.path paths.data_dir": "data.root",
    "split_sizes train_val_test_split data.train_val_test_split": "data.splits",
    "latent_size z_dim nz latent latent_dims zdim": r"model\.latent_dims?",
    "manual_seed random_seed seed_everything": "seed",
    "early_stopping early_stopping_patience callbacks.early_stopping.patience": "training.patience",
    "monitor_metric callbacks.model_checkpoint.monitor": "training.monitor",
    "gradient_clip_val grad_clip clip_grad clip_grad_norm max_grad_norm trainer.gradient_clip_val": "training.gradient_clip_norm",
    "accumulate_grad_batches gradient_accumulation_steps grad_accum trainer.accumulate_grad_batches": "training.accumulate_batches",
    "log_every_n_steps log_interval log_every trainer.log_every_n_steps": "training.log_every_steps",
    "check_val_every_n_epoch eval_every val_every eval_interval trainer.check_val_every_n_epoch": "training.validate_every_epochs",
    "save_every save_interval checkpoint_every checkpoint_interval": "training.checkpoint_every_minutes",
    "sample_every sample_interval": "samples.every_images",
    "n_samples num_samples": "samples.n",
    "ema ema_rate": "training.ema_decay",
    "torch_compile model.compile": "training.compile",
    "gradient_checkpointing": "training.activation_checkpointing",
    "k iwae_k num_importance_samples": "model.k",
    "kl_weight": "model.beta",
    "task_name exp_name run_name experiment_name logger.wandb.name": "name",
    "n_trials": "hydra.sweeper.n_trials",
    "n_jobs": "hydra.launcher.n_jobs",
    "optimized_metric": "hydra.sweeper.metric",
    "callback": "callbacks=",
    "loggers": "logger=",
    "metric": "metrics=",
}
"""Names that have one equivalent, or one of each optimizer: a key, a pattern of keys, or a group (``data=``)."""
TOLD: dict[str, str] = {
    "hparams_search": "a search is a sweep: sweep=tpe (or one of your own, genexp list sweep)",
    "ckpt_path resume_from_checkpoint resume_from load_from checkpoint checkpoint_path init_from pretrained weights resume_ckpt": (
        "genexp train run=outputs/x continues a run; training.initial_weights=outputs/x begins a new one with its weights"
    ),
    "train": "genexp train trains; genexp evaluate run=outputs/x evaluates alone",
    "test": "every run ends with its metrics: metrics=... chooses them, metrics=[] leaves them out, evaluation.split= the split",
    "evaluate eval": "genexp evaluate run=outputs/x",
    "optimizer optim": "an optimizer is a class: model.optimizer._target_=torch.optim.AdamW; for a GAN model.generator_optimizer",
    "scheduler lr_scheduler": "a schedule is a class: model.scheduler, a node with _target_",
    "weight_decay betas momentum eps": (
        "an argument of the optimizer: ++model.optimizer.NAME=..., of a GAN ++model.generator_optimizer.NAME=..."
    ),
    "image_size img_size resolution im_size": (
        "data.shape=[3,64,64] for images that are resized (data=image_folder, shards); others have theirs"
    ),
    "output_dir save_dir log_dir logdir out_dir results_dir outdir workdir work_dir": (
        "name=x puts the run into outputs/x; hydra.run.dir=... elsewhere"
    ),
    "loss objective criterion": "the family says what is minimised; for a GAN model/objective=hinge",
    "limit_train_batches limit_val_batches limit_test_batches": "debug=limit, or data.limit, a number of examples",
    "fast_dev_run trainer.fast_dev_run": "debug=fast",
    "overfit_batches overfit trainer.overfit_batches": "debug=overfit",
    "detect_anomaly": "debug=anomaly",
    "profiler profile": "debug=profiler",
    "device cuda gpu use_cuda no_cuda": "trainer=gpu, or trainer=cpu; trainer.devices says how many",
    "cpu": "trainer=cpu",
    "ddp distributed dist": "trainer=ddp",
    "strategy": "trainer=ddp, or trainer=fsdp; ++trainer.strategy=... is Lightning's",
    "num_nodes nodes": "trainer=nodes trainer.num_nodes=...",
    "fsdp": "trainer=fsdp",
    "amp fp16 bf16 mixed_precision use_amp half": "trainer.precision=bf16-mixed, or 16-mixed on a GPU",
    "wandb use_wandb log_wandb": "logger=wandb",
    "tensorboard use_tensorboard": "logger=tensorboard",
    "project wandb_project wandb.project": "logger=wandb logger.wandb.project=...",
    "entity wandb_entity wandb.entity": "logger=wandb logger.wandb.entity=...",
    "offline wandb_mode wandb.mode logger.wandb.offline": "logger=wandb logger.wandb.mode=offline",
    "wandb.name wandb.run_name": "name=..., the run's folder and its name for every logger",
    "wandb.tags": "tags=[...]",
    "wandb.group": "group=...",
    "notes": "tags=[...], or logger.wandb.notes",
    "extras print_config ignore_warnings enforce_tags": "--cfg job prints the config; tags=[...] has the tags",
    "paths": "data.root is the folder of the data, outputs/<name> that of the run",
    "config cfg config_file conf": "experiment=... chooses a file of conf/experiment, of your own with --config-dir DIR",
    "conditional class_cond class_conditional cond": "model.conditional=true",
    "num_classes n_classes": "data.num_classes says how many there are; model.conditional=true models p(x | y)",
    "fid": "metrics=fidelity, or fidelity_inception; monitors=fidelity while training",
    "multirun sweep_params": "-m, and keys with several values: genexp train -m seed=0,1",
    "verbose debug_mode": "GENEXP_TRACE=1 shows where an error comes from; debug=default is a small run",
}
"""Names that have none, with what to do."""
HEADS = ("optimizer", "optim", "scheduler", "lr_scheduler", "wandb", "extras", "paths")
"""Sections that there are not, of whose keys the same holds."""
OPTIONS: dict[str, str] = {
    "callbacks/early_stopping": "training.patience ends a training that training.monitor shows to be done",
    "callbacks/default": "checkpoints, samples, curves and progress are there without; genexp list callbacks shows more",
    "callbacks/many": "several: callbacks=[lr_monitor,rich_summary]",
    "logger/many_loggers": "several: logger=[csv,wandb]",
    "trainer/default": "trainer=auto is chosen anyway",
}
"""Options of other templates that there are not here, with what to do."""
OF_RUN: dict[str, dict[str, str]] = {
    "sample": {
        "n_samples num_samples batch_size count": "n",
        "label labels class classes class_label target": "y",
        "temperature temp truncation": "+knobs.temperature",
        "ckpt_path ckpt checkpoint_path model_path weights": "run=outputs/x checkpoint=best",
        "output_dir out_dir save_dir out": "output",
        "device accelerator": "trainer.accelerator",
        "name": "run=outputs/x",
    },
    "evaluate": {
        "ckpt_path ckpt checkpoint_path model_path weights": "run=outputs/x checkpoint=best",
        "metric": "metrics=",
        "device accelerator": "trainer.accelerator",
        "data_dir": "data.root",
        "n_samples num_samples n": "metrics.fidelity.n",
        "k ks num_importance_samples": "metrics.bound.ks",
        "batch_size": "metrics.fidelity.batch_size",
        "name": "run=outputs/x",
        "model data": "run=outputs/x, which has its own model and data",
    },
}
"""As :data:`SAME`, of the verbs that take a run."""


def _by_name(table: Mapping[str, str]) -> dict[str, str]:
    return {name: text for names, text in table.items() for name in names.split()}


def answer(name: str, value: str | None, keys: Iterable[str], verb: str = "train") -> str | None:
    """What a key of another framework is here, in one line.

    Args:
        name: as it was typed, without ``+``.
        value: that was given; None where it is not known.
        keys: of the composed config, and its groups.
        verb: whose config it is.

    Returns:
        The line, or None if nothing is known. The same last part of one key, or of a few, counts as known.
    """
    known = list(keys)
    if verb in OF_RUN:
        return _of_run(name, value, verb, known)
    same, told = _by_name(SAME), _by_name(TOLD)
    head, _, last = name.partition(".")
    sections = {key.partition(".")[0] for key in known}
    is_elsewhere = name not in same and head not in sections  # as hparams.lr
    name_there = last.rpartition(".")[2] if is_elsewhere and last.rpartition(".")[2] in same else name
    if name_there in same:
        target = same[name_there]
        found = [target] if target.endswith("=") else [key for key in known if re.fullmatch(target, key)]
        if not found and target.startswith("hydra."):
            found = [target]  # of a sweeper or launcher that is not chosen now
        if not found:
            return f"{name} is {_written(target)} here, which there is not in what is chosen now"
        return _sentence(name, value, found)
    if name in told or head in HEADS:
        return f"{name} is not a key here: {(told.get(name) or told[head]).replace('NAME', name)}"
    ends = [key for key in known if not last and key.rpartition(".")[2] == name != key]
    return _sentence(name, value, ends) if 0 < len(ends) <= 3 else None


def _of_run(name: str, value: str | None, verb: str, known: list[str]) -> str | None:
    target = _by_name(OF_RUN[verb]).get(name)
    if target is None or name in known:
        return None
    return f"{name} is {target} here" if "=" in target.rstrip("=") else _sentence(name, value, [target])


def _written(target: str) -> str:
    """A key, of a pattern of keys the plainest."""
    return re.sub(r"\(\?:[^)]*\)\?|\w\?|\\", "", target)


def _sentence(name: str, value: str | None, found: list[str]) -> str:
    """``lr is model.optimizer.lr here: model.optimizer.lr=1e-3``."""
    plain = [target.rstrip("=") for target in found]
    text = f"{name} is {' or '.join(plain)} here"
    return text if value in (None, "") else f"{text}: {plain[0]}={value}"


def refuse_foreign(names: Iterable[str], config: DictConfig) -> None:
    """Refuse keys of other frameworks at the top of a composed config, where they were added with ``+``.

    Raises:
        ConfigError: naming the first, and what it is here.
    """
    for name in names:
        if text := foreign(name, config):
            raise ConfigError(text)


def foreign(name: str, config: DictConfig) -> str | None:
    """As :func:`answer`, of a key that a config has and should not."""
    value = OmegaConf.select(config, name)
    keys = [key for key in flatten(OmegaConf.to_container(config)) if key != name]
    return answer(name, shown(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value), keys)
