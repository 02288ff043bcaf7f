"""Sample: draw from a trained run, whole examples, also beside their nearest training examples, or what is missing of some; or
decode points of its latent space."""

from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genexp.callbacks.pictures import picture
from genexp.callbacks.sounds import sounds
from genexp.families.base import GenerativeModule
from genexp.metrics.sampling_bar import sampling_bar
from genexp.probability.randomness import key
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import check_targets, instantiate
from genexp.runs.loading import device_of, load_model
from genexp.runs.sampling.completion import check_completion, complete, save
from genexp.runs.sampling.latent_points import check_latent, latent, name_of
from genexp.runs.sampling.nearest_examples import check_neighbours, neighbours


def sample(config: DictConfig, console: Console) -> None:
    """The verb: write ``<output>.npy``, int64 labels ``<output>-labels.npy`` of a conditional model, a PNG where the data have
    a picture, and of sound ``<output>-<i>.wav``. With ``neighbours``, see
    :func:`genexp.runs.sampling.nearest_examples.neighbours` too; with ``complete``,
    :func:`genexp.runs.sampling.completion.complete`, with ``latent``, :func:`genexp.runs.sampling.latent_points.latent`.

    Raises:
        ConfigError: no such run, labels or knobs that the model does not have.
    """
    what = "sample"
    if config.neighbours is not None:
        check_neighbours(config)
        what = "neighbours"
    elif config.latent is not None:
        check_latent(config)
        what = name_of(config)
    elif config.complete is not None:
        check_completion(config)
        what = f"complete-{config.complete}-{config.split}"
    folder = RunFolder.existing(config.run)
    extra = list(config.allow_targets)
    trained = folder.config()
    check_targets(trained, extra)
    model = load_model(folder, trained, config.checkpoint, extra).to(device_of(config.trainer.accelerator))
    output = folder.samples / f"{what}-{config.checkpoint}-seed{config.seed}"
    output = Path(config.output) if config.output else output
    torch.manual_seed(key(config.seed, "sample"))
    try:
        if config.complete is None and config.latent is None:
            written = _draw(config, model, folder, output, trained, console)
        else:
            data = instantiate(trained, "data", extra)
            of_examples = complete if config.latent is None else latent
            written = of_examples(config, model, data, output, console)
    except ConfigError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"sample: {error}") from error
    for path in written:
        console.print(f"  wrote {path}", highlight=False, soft_wrap=True)


def _draw(
    config: DictConfig,
    model: GenerativeModule,
    folder: RunFolder,
    output: Path,
    trained: DictConfig,
    console: Console,
) -> list[Path]:
    """Draw whole examples of the run whose config is ``trained``; the files written."""
    y = OmegaConf.to_container(config.y) if OmegaConf.is_list(config.y) else config.y
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
    with sampling_bar(model, console):
        x = model.sample(config.n, labels, **OmegaConf.to_container(config.knobs))
    arrays = {".npy": x, "-labels.npy": labels}
    written = save(output, {suffix: array for suffix, array in arrays.items() if array is not None})
    path, sample_rate = output.with_name(output.name + ".png"), trained.data.get("sample_rate")
    if config.neighbours is not None:
        data = instantiate(trained, "data", list(config.allow_targets))
        written += neighbours(x.cpu(), data, config.neighbours, output, console)
    elif sample_rate is not None:
        written += sounds(x, labels, model.levels, sample_rate, output)
    elif picture(x, model.levels, path, model.num_classes if model.conditional else None):
        written.append(path)
    return written
