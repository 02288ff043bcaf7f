"""Checkpoints, the record of the run and its code as W&B artifacts."""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger

from genexp.record.folder import RunFolder
from genexp.tracking.wandb_final import final_name

RECORD = ("status.json", "metrics.json", "metrics.csv", "curves.png")
"""Files of a run folder that tell of the run, beside those in ``.hydra/``."""


class CheckpointArtifacts(Callback):
    """Uploads the checkpoint of every validation, in the background, while training goes on. Stands behind the callback that
    writes them.

    Args:
        logger: of W&B.
        folder: of the run.
    """

    def __init__(self, logger: Logger, folder: RunFolder) -> None:
        self.logger, self.folder = logger, folder

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        last, best = (self.folder.checkpoints / f"{name}.ckpt" for name in ("last", "best"))
        is_best = best.exists() and best.samefile(last)  # a link, where the file system has some
        aliases = ["last", f"images-{pl_module.images_seen}", *["best"] * is_best]
        metadata = {"images": pl_module.images_seen, "metrics": values}
        _log(self.logger, "model", self.folder, {last: "last.ckpt"}, metadata, aliases)


def upload_best(logger: Logger, folder: RunFolder) -> None:
    """The best checkpoint with the resolved config beside it, as ``model-<name of the run>-<id>:best``; nothing without one."""
    best, config = folder.checkpoints / "best.ckpt", folder.config_file.with_name("resolved.yaml")
    if best.exists():
        records = [record for record in folder.metrics() if record["checkpoint"] == "best"]
        metadata = {"metrics": {final_name(r): r["value"] for r in records}}
        if records:
            metadata["images"] = records[-1]["images_seen"]
        _log(logger, "model", folder, {best: "best.ckpt", config: "resolved.yaml"}, metadata, ["best"])


def upload_record(logger: Logger, folder: RunFolder) -> None:
    """What the run folder tells of the run, but for samples and checkpoints, as
    ``run-<name of the run>-<id>``."""
    files = [folder.path / name for name in RECORD]
    files += [path for path in folder.config_file.parent.iterdir() if path.is_file()]
    found = {path: str(path.relative_to(folder.path)) for path in files if path.exists()}
    _log(logger, "run", folder, found, {"state": folder.status().get("state")}, [])


def upload_code(logger: Logger, modules: Sequence[str]) -> None:
    """The sources of genexp, and those of further modules that the run may name, as W&B's code of the run."""
    for name in dict.fromkeys(["genexp", *(module.split(".")[0] for module in modules)]):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue
        file = Path(spec.origin)
        is_package = file.name == "__init__.py"

        def belongs(path: str, file: Path = file, is_package: bool = is_package) -> bool:
            return path.endswith(".py") if is_package else Path(path) == file

        logger.experiment.log_code(str(file.parent), name=f"source-{name}-{logger.experiment.id}", include_fn=belongs)


def _log(
    logger: Logger,
    kind: str,
    folder: RunFolder,
    files: dict[Path, str],
    metadata: dict[str, Any],
    aliases: Sequence[str],
) -> None:
    """Files as an artifact. W&B copies them first, for they are replaced while it uploads."""
    import wandb

    name = re.sub(r"[^A-Za-z0-9_.-]", "_", folder.path.name)[:100]
    name = f"{kind}-{name}-{logger.experiment.id}"  # jobs of two sweeps may have one name
    artifact = wandb.Artifact(name, type=kind, metadata=metadata)
    for path, inside in files.items():
        artifact.add_file(str(path), inside)
    logger.experiment.log_artifact(artifact, aliases=["latest", *aliases])
