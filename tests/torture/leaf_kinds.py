"""What the leaves of a composed config are, and which values are wrong for each kind."""

import re

HUGE = 10**30

WRONG: dict[str, tuple[str, ...]] = {
    # a whole number of at least 1
    "count": ("null", "abc", "-1", "0", "1.5", "[]", "{}", str(HUGE), "nan", "inf", "''", "true"),
    # a whole number of at least 0
    "natural": ("null", "abc", "-1", "1.5", "[]", "{}", str(HUGE), "nan", "''", "true"),
    # any whole number: seeds
    "whole": ("null", "abc", "1.5", "[]", "{}", str(HUGE), "nan", "''", "true"),
    # a number of at least 0; 0 and 10**30 are right
    "weight": ("null", "abc", "-1", "[]", "{}", "nan", "inf", "''", "true"),
    # a number above 0
    "positive": ("null", "abc", "-1", "0", "[]", "{}", "nan", "inf", "''", "true"),
    "number": ("null", "abc", "[]", "{}", "nan", "inf", "''", "true"),
    # between 0 and 1, both left out
    "share": ("abc", "-1", "0", "1.5", "[]", "{}", "nan", "inf", "''", "true"),
    "switch": ("null", "abc", "maybe", "0", "1.5", "[]", "{}", "''"),
    "text": ("null", "1.5", "7", "[]", "{}", "true"),
    "choice": ("null", "abc", "0", "1.5", "[]", "{}", "''"),
    # counts, at least one of them
    "counts": ("null", "abc", "7", "-1", "[0]", "[-1]", "[1.5]", "[abc]", "[null]", "{}", f"[{HUGE}]", "''"),
    "interval": ("abc", "7", "[]", "[1]", "[a,b]", "{}", "''"),
    "texts": ("null", "abc", "7", "[7]", "{}", "''"),
    # whatever a command line says is text: a name
    "word": ("null", "[]", "{}"),
    "words": ("null", "abc", "{}"),
    "mapping": ("abc", "7", "[]", "''", "1.5"),
    # an object, from a node with _target_
    "object": ("null", "abc", "7", "[]", "''", "true"),
    "target": ("null", "abc", "0", "[]", "{}", "''", "nosuch.module.Class"),
}
"""Values that are wrong for a leaf of a kind."""
KINDS: dict[str, str] = {
    "seed": "whole",
    "group": "word?",
    "name": "name",
    "resume": "switch",
    "dry_run": "switch",
    "tags": "words",
    "job_type": "word",
    "trial": "mapping?",
    "allow_targets": "texts",
    "published": "mapping?",
    "reproduced": "mapping?",
    "evaluation.split": "choice",
    "evaluation.monitor_every_images": "count",
    "samples.n": "count",
    "samples.every_images": "count?",
    "training.batch_size": "count",
    "training.accumulate_batches": "count",
    "training.max_images": "count?",
    "training.max_steps": "count?",
    "training.max_epochs": "count?",
    "training.monitor": "text?",
    "training.patience": "count?",
    "training.collapse": "mapping?",
    "training.collapse.images": "count",
    "training.collapse.below.*": "number?",
    "training.gradient_clip_norm": "clipping",
    "training.compile": "switch",
    "training.activation_checkpointing": "switch",
    "training.validate_every_epochs": "count",
    "training.log_every_steps": "count",
    "training.checkpoint_every_minutes": "weight",
    "training.ema_decay": "share",
    "training.ema_half_life_images": "positive?",
    "trainer.accelerator": "choice",
    "trainer.devices": "devices",
    "trainer.precision": "choice",
    "data.name": "text",
    "data.shape": "counts",
    "data.levels": "count?",
    "data.num_classes": "count?",
    "data.batch_size": "count",
    "data.evaluation_batch_size": "count",
    "data.limit": "count?",
    "data.num_workers": "natural",
    "data.seed": "whole",
    "data.split_seed": "natural",
    "data.splits.*": "count",
    "model.shape": "counts",
    "model.levels": "count?",
    "model.num_classes": "count?",
    "model.conditional": "switch",
    "model.ensemble": "count",
    "model.validation_ensemble": "count",
    "model.scheduler": "object?",
    "model.latent_dim": "count",
    "model.beta": "weight",
    "model.k": "count",
    "model.kl_warmup_images": "natural",
    "model.free_bits": "weight",
    "model.doubly_reparameterised": "switch",
    "model.temperature": "weight",
    "model.chunk": "count",
    "model.packing": "count",
    "model.discriminator_steps": "count",
    "model.generator_batches": "count",
    "model.simultaneous": "switch",
    "model.weight_clip": "positive?",
    "model.penalties": "mapping",
    "model.augmentation": "object?",
    "model.auxiliary": "object?",
    "model.discriminator_optimizer": "object",
    "model.observation.components": "count",
    "model.observation.max_log_scale": "number?",
    "model.observation.min_log_std": "number",
    "model.posterior.log_std_range": "interval",
    "*.hidden": "counts",
    "*.dense": "counts0",
    "*.channels": "count",
    "*.random_order": "switch",
    "*.direct": "switch",
    "*.num_masks": "count?",
    "*.mask_seed": "whole",
    "*.initialisation": "object?",
    "*.initialisation.std": "number",
    "*.batch_norm": "switch",
    "*.conditional_batch_norm": "switch",
    "*.projection": "switch",
    "*.spectral_norm": "switch",
    "*.slope": "weight",
    "*.inplace": "switch",
    "*optimizer.lr": "weight",
    "*optimizer.betas": "betas",
    "*._target_": "target",
    "*._partial_": "switch",
    "metrics.unfit": "left out: any word but skip lets metrics be refused",
    "monitors": "left out: it chooses an option",
    "metrics.bound.ks": "counts",
    "metrics.*.limit": "count?",
    "metrics.bound.repeats": "count",
    "metrics.*.n": "count",
    "metrics.*.knobs": "mapping",
    "metrics.*.batch_size": "count",
    "metrics.modes.radius": "positive",
    "metrics.fidelity.reference": "choice?",
    "metrics.fidelity.kid_subset_size": "count",
    "metrics.fidelity.kid_subsets": "count",
    "metrics.fidelity.is_splits": "count",
    "metrics.fidelity.*_neighborhood": "count",
    "metrics.fidelity.cache_dir": "text?",
    "logger.wandb.project": "text",
    "logger.wandb.entity": "text?",
    "logger.wandb.name": "text",
    "logger.wandb.group": "text?",
    "logger.wandb.job_type": "text",
    "logger.wandb.tags": "texts",
    "logger.wandb.mode": "choice",
    "logger.wandb.watch": "choice?",
    "logger.wandb.settings.*": "number",
    "logger.wandb.settings.x_*": "number?",
    "logger.wandb.settings.finish_timeout_raises": "switch",
}
"""What a leaf is, by its key, where ``*`` stands for anything; a ``?`` says that null is right too. The last that fits counts."""
SPECIAL: dict[str, tuple[str, ...]] = {
    "name": ("''", "a/b", "..", "../../x", "-x", "x" * 300),
    "clipping": ("abc", "-1", "0", "[]", "nan", "inf", "''", "true"),
    "devices": ("abc", "-1", "0", "1.5", "[]", "{}", "''", "true", str(HUGE)),
    "counts0": ("null", "abc", "7", "[0]", "[-1]", "[1.5]", "[abc]", "{}", "''"),
    "betas": ("null", "abc", "0.5", "[]", "[0.5]", "[a,b]", "[-1,0.9]", "[0.5,1.5]", "{}", "''"),
}


def kind_of(key: str) -> str:
    """What a leaf is.

    Raises:
        LookupError: :data:`KINDS` does not say.
    """
    found = [kind for pattern, kind in KINDS.items() if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), key)]
    if not found:
        raise LookupError(f"{key}: tests/torture/leaf_kinds.py does not say what it is")
    return found[-1]
