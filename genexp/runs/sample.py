"""Sample: draw from a trained run."""

from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.callbacks.pictures import picture
from genexp.callbacks.sounds import sounds
from genexp.probability.randomness import key
from genexp.runs.config import ConfigError, check_targets
from genexp.runs.evaluate import device_of, load_model
from genexp.runs.folder import RunFolder


def sample(config: DictConfig, console: Console) -> None:
    """The verb: write ``<output>.npy``, int64 labels ``<output>-labels.npy`` of a conditional model, a PNG where the
    data have a picture, and of sound ``<output>-<i>.wav``.

    Raises:
        ConfigError: no such run, labels or knobs that the model does not have.
    """
    folder = RunFolder.existing(config.run)
    extra = list(config.allow_targets)
    trained = folder.config()
    check_targets(trained, extra)
    model = load_model(folder, trained, config.checkpoint, extra).to(device_of(config.trainer.accelerator))
    y = OmegaConf.to_container(config.y) if OmegaConf.is_list(config.y) else config.y
    torch.manual_seed(key(config.seed, "sample"))
    try:
        labels = None
        if model.conditional:
            labels = torch.arange(config.n) % model.num_classes if y is None else torch.as_tensor(y).expand(config.n)
        elif y is not None:
            labels = y
        console.print(
            f"  drawing {config.n:,} samples of {folder.path} ...",
            style="dim",
            highlight=False,
            soft_wrap=True,
        )
        x = model.sample(config.n, labels, **OmegaConf.to_container(config.knobs))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"sample: {error}") from error
    output = Path(config.output) if config.output else folder.samples / f"sample-{config.checkpoint}-seed{config.seed}"
    output.parent.mkdir(parents=True, exist_ok=True)
    np.save(output.with_suffix(".npy"), x.cpu().numpy())
    written = [output.with_suffix(".npy")]
    if labels is not None:
        written.append(output.with_name(output.name + "-labels.npy"))
        np.save(written[-1], labels.cpu().numpy())
    if trained.data.get("sample_rate") is not None:
        written += sounds(x, labels, model.levels, trained.data.sample_rate, output)
    elif picture(x, model.levels, output.with_suffix(".png"), model.num_classes if model.conditional else None):
        written.append(output.with_suffix(".png"))
    for path in written:
        console.print(f"  wrote {path}", highlight=False, soft_wrap=True)
