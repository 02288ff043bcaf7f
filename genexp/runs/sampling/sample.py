"""Sample: draw from a trained run, whole examples, also beside their nearest training examples, or what is missing of some; or
decode points of its latent space."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from genexp.callbacks.pictures import picture
from genexp.callbacks.sounds import sounds
from genexp.families.base import GenerativeModule
from genexp.probability.randomness import key
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import check_targets, instantiate
from genexp.runs.loading import load_model
from genexp.runs.progress_bars import shown
from genexp.runs.recorded_data import find_data
from genexp.runs.sampling.completion import complete
from genexp.runs.sampling.files import check_options, save
from genexp.runs.sampling.latent_points import latent, name_of
from genexp.runs.sampling.nearest_examples import neighbours
from genexp.runs.sampling.request import Request
from genexp.runs.trainer import device_of_run


def sample(config: DictConfig, console: Console) -> None:
    """The verb: write ``<output>.npy``, int64 labels ``<output>-labels.npy`` of a conditional model, a PNG where the data have
    a picture, and of sound ``<output>-<i>.wav``. With ``neighbours``, see
    :func:`genexp.runs.sampling.nearest_examples.neighbours` too; with ``complete``,
    :func:`genexp.runs.sampling.completion.complete`, with ``latent``, :func:`genexp.runs.sampling.latent_points.latent`.

    Raises:
        ConfigError: no such run, labels or knobs that the model does not have.
    """
    request, what = Request.of(config), "sample"
    if request.neighbours is not None:
        what = "neighbours"
    elif request.latent is not None:
        what = name_of(request)
    elif request.complete is not None:
        what = f"complete-{request.complete}-{request.split}"
    folder = RunFolder.existing(config.run)
    extra = list(config.allow_targets)
    trained = folder.config()
    check_targets(trained, extra)
    find_data(trained, folder, config.data.root, console)
    model = load_model(folder, trained, config.checkpoint, extra).to(
        device_of_run(config.trainer.accelerator, trained, console)
    )
    output = folder.samples / f"{what}-{config.checkpoint}-seed{config.seed}"
    output = Path(config.output) if config.output else output
    torch.manual_seed(key(config.seed, "sample"))
    try:
        data = instantiate(trained, "data", extra)
        if request.complete is None and request.latent is None:
            console.print(
                f"  drawing {request.n:,} samples of {folder.path} ...", style="dim", highlight=False, soft_wrap=True
            )
            written = _draw(request, model, data, output, console)
        else:
            of_examples = complete if request.latent is None else latent
            written = of_examples(request, model, data, output, console)
    except ConfigError:
        raise
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"sample: {error}") from error
    for path in written:
        console.print(f"  wrote {path}", highlight=False, soft_wrap=True)


def _draw(request: Request, model: GenerativeModule, data: Any, output: Path, console: Console) -> list[Path]:
    """Draw whole examples; the files written."""
    check_options(model.draw, request.knobs, f"the sampler of {type(model).__name__}")
    y, labels = request.y, None
    if model.conditional:
        labels = torch.arange(request.n) % model.num_classes if y is None else torch.as_tensor(y).expand(request.n)
    elif y is not None:
        labels = y
    with shown(model, console):
        x = model.sample(request.n, labels, **request.knobs)
    arrays = {".npy": x, "-labels.npy": labels}
    written = save(output, {suffix: array for suffix, array in arrays.items() if array is not None})
    path = output.with_name(output.name + ".png")
    if request.neighbours is not None:
        written += neighbours(x.cpu(), data, request.neighbours, output, console)
    elif data.sample_rate is not None:
        written += sounds(x, labels, model.levels, data.sample_rate, output)
    elif picture(x, model.levels, path, model.num_classes if model.conditional else None):
        written.append(path)
    return written
