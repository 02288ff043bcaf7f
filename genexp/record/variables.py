"""Environment variables that several parts of genexp look at. Nothing else is imported: completion in a shell is quick."""

CONFIG_DIR = "GENEXP_CONFIG_DIR"
"""The user's own config folder, as ``--config-dir`` names it."""
ALLOW = "GENEXP_ALLOW_TARGETS"
"""Further modules that the user trusts, separated by commas."""
AGENT = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
"""What an agent of a W&B sweep sets for the one process, and so the one run, that it starts. W&B prefers them to all that it is
told; the jobs of a sweep of ours are several runs, and none of them is that one."""
