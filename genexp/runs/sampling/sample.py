"""Sample: draw from a trained run, whole examples, also beside their nearest training examples, or what is missing of some; or
decode points of its latent space."""

from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from genexp.callbacks.pictures import seen
from genexp.plot_style import DOT
from genexp.probability.randomness import key
from genexp.record.checksum import recorded_digest
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import check_targets, instantiate
from genexp.runs.devices import device_of_run
from genexp.runs.loading import load_model
from genexp.runs.recorded_data import find_data
from genexp.runs.sampling.completion import complete
from genexp.runs.sampling.formats import check_format
from genexp.runs.sampling.latent_points import latent
from genexp.runs.sampling.output import Output
from genexp.runs.sampling.request import Request
from genexp.runs.sampling.whole import draw_whole


def sample(config: DictConfig, console: Console) -> None:
    """The verb: write ``<output>.npy``, int64 labels ``<output>-labels.npy`` of a conditional model, a PNG where the data have
    a picture, and of sound ``<output>-<i>.wav``; or the files of another format
    (:mod:`genexp.runs.sampling.formats`). With ``neighbours``, see
    :func:`genexp.runs.sampling.nearest_examples.neighbours` too; with ``complete``,
    :func:`genexp.runs.sampling.completion.complete`, with ``latent``, :func:`genexp.runs.sampling.latent_points.latent`. And
    always ``<output>.json``, what they were drawn with.

    Raises:
        ConfigError: no such run, labels or knobs that the model does not have, a format that the data do not have, or a name
            that another draw has.
    """
    request = Request.of(config)
    folder = RunFolder.existing(config.run)
    extra = list(config.allow_targets)
    trained = folder.config()
    check_targets(trained, extra)
    find_data(trained, folder, config.data.root, console)
    device = device_of_run(config.trainer.accelerator, trained, console)
    try:
        data = instantiate(trained, "data", extra)
        check_format(request.format, data.name, data.shape, data.levels, data.sample_rate)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"sample: {error}") from error
    output = Output(
        request.output,
        folder.samples / request.name,
        _weights(folder, request),
        request.settings() | {"device": device.type},
    )
    model = load_model(folder, trained, config.checkpoint, extra).to(device)
    torch.manual_seed(key(config.seed, "sample"))
    title = DOT.join([folder.title(data.name), f"{seen(model.images_seen, data)} ({request.checkpoint})"])
    is_done = False
    try:
        output.begin()
        if request.latent is not None:
            written = latent(request, model, data, title, output.path, console)
        elif request.complete is not None:
            written = complete(request, model, data, title, output.path, console)
        else:
            console.print(
                f"  drawing {request.n:,} samples of {folder.path} ...", style="dim", highlight=False, soft_wrap=True
            )
            written = draw_whole(request, model, data, title, output.path, console)
        is_done = True
    except ConfigError:
        raise
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"sample: {error}") from error
    finally:
        if not is_done:
            output.give_up()
    for path in [*written, output.end(written, model.images_seen)]:
        console.print(f"  wrote {path}", highlight=False, soft_wrap=True)


def _weights(folder: RunFolder, request: Request) -> dict[str, Any]:
    """Which weights a draw is of."""
    try:
        digest = recorded_digest(folder.checkpoints / f"{request.checkpoint}.ckpt")
    except (OSError, ValueError):  # a damaged one is refused where it is loaded
        digest = None
    return {"run": str(folder.path), "checkpoint": request.checkpoint, "sha256": digest}
