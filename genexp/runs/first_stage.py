"""Runs that build on another: ``model.first_stage_run`` names the folder whose trained model becomes ``model.first_stage``.

The run's config then holds the first stage's own, and its checkpoints the weights, so that it needs the other folder until its
training has begun, and never after.
"""

from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf, open_dict

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder

if TYPE_CHECKING:  # heavy, and the command line has yet to be checked
    from genexp.families.vq_vae import VQVAE


def insert(config: DictConfig) -> bool:
    """Put the model config of ``model.first_stage_run``, and the SHA-256 of its best checkpoint, into a composed config. One
    that has no such key, or that a run folder holds, is left as it is. Whether anything was put in.

    Raises:
        ConfigError: the key names no run, or one whose model is no VQ-VAE.
    """
    if "first_stage_run" not in config.model or config.model.first_stage_sha256 is not None:
        return False
    run = config.model.first_stage_run
    if run is None:
        raise ConfigError(
            "model.first_stage_run=null: a second stage needs the folder of a trained first one, e.g. outputs/vq after "
            "genexp train model=vq_vae name=vq"
        )
    _, digest = trained(run, list(config.allow_targets))
    with open_dict(config):
        config.model.first_stage = OmegaConf.to_container(RunFolder.existing(run).config().model, resolve=True)
    config.model.first_stage_sha256 = digest
    return True


def adopt(config: DictConfig, model: object) -> None:
    """Copy the weights of ``model.first_stage_run`` into the model of a run that begins; nothing for other models.

    Raises:
        ConfigError: the run is not there any more, or its best checkpoint has changed since the config was made.
    """
    if "first_stage_run" not in config.model:
        return
    first_stage, digest = trained(config.model.first_stage_run, list(config.allow_targets))
    if digest != config.model.first_stage_sha256:
        raise ConfigError(
            f"model.first_stage_run={config.model.first_stage_run}: its best checkpoint is not the one that this run was "
            "configured with (the SHA-256 differs); choose another name to build on the new one"
        )
    model.first_stage.load_state_dict(first_stage.state_dict())


def trained(run: str, extra: list[str]) -> tuple["VQVAE", str]:
    """The first stage in a run folder, and the SHA-256 of its best checkpoint.

    Args:
        run: the folder.
        extra: further modules that the user trusts.

    Raises:
        ConfigError: there is no run, no whole checkpoint, or its model is no VQ-VAE.
    """
    from genexp.families.vq_vae import VQVAE
    from genexp.record.checksum import recorded_digest
    from genexp.runs.loading import load_model

    try:
        folder = RunFolder.existing(run)
        model = load_model(folder, folder.config(), "best", extra)
    except ConfigError as error:
        raise ConfigError(f"model.first_stage_run: {error}") from error
    if not isinstance(model, VQVAE):
        raise ConfigError(
            f"model.first_stage_run={run}: its model is {type(model).__name__}, not a VQ-VAE; train one with model=vq_vae"
        )
    return model, recorded_digest(folder.checkpoints / "best.ckpt")
