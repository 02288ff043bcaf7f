"""Latent: decode chosen points of a trained run's latent space."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import Tensor

from genexp.callbacks.latent_tables import (
    LatentTable,
    interpolations,
    prior_interpolations,
    reconstructions,
    symmetric_values,
    traversals,
    usage,
)
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LatentDecoder, LatentVariables
from genexp.probability.latent.interpolation import linear, slerp
from genexp.record.errors import SPLITS, ConfigError, check_choice, nearest
from genexp.runs.sampling.completion import labels_of, save

INTERPOLATIONS = {"slerp": slerp, "linear": linear}
CENTRES = ("example", "prior")
PRIOR_DRAWS = 10_000
"""For the mean of a prior."""


def check_latent(config: DictConfig) -> None:
    """Refuse what can be seen to be wrong in the config of the verb before anything is loaded.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    check_choice("latent", config.latent, list(WAYS))
    check_choice("split", config.split, SPLITS)
    check_choice("interpolation", config.interpolation, list(INTERPOLATIONS))
    if config.complete is not None:
        raise ConfigError(f"complete={config.complete} latent={config.latent}: one of them at a time")
    for name, least in {"rows": 1, "steps": 2, "draws": 1}.items():
        if not isinstance(config[name], int) or isinstance(config[name], bool) or config[name] < least:
            raise ConfigError(f"{name}={config[name]}: must be a whole number of at least {least}")
    if not isinstance(config.extent, int | float) or not config.extent > 0:
        raise ConfigError(f"extent={config.extent}: must be a number above 0")
    check_choice("centre", config.centre, CENTRES)
    for knob, value in config.knobs.items():
        if knob != "temperature":
            raise ConfigError(
                f"knobs.{knob}: latent={config.latent} has the knob temperature.{nearest(knob, ['temperature'])}"
            )
        if not isinstance(value, int | float) or value < 0:
            raise ConfigError(f"knobs.temperature={value}: must be a number of at least 0")


def name_of(config: DictConfig) -> str:
    """How the files of a request are called, before the checkpoint and the seed."""
    way = f"{config.latent}-{config.interpolation}" if config.latent == "interpolate" else config.latent
    return f"{way}-{config.split}"


@torch.no_grad()
def latent(config: DictConfig, model: GenerativeModule, data: Any, output: Path, console: Console) -> list[Path]:
    """Decode points of the latent space that belong to examples of a split, chosen by the seed.

    Args:
        config: of the verb.
        model: on the device to use, in evaluation mode.
        data: the run's.
        output: where to write, without suffix: ``.npy`` what was decoded ``(R, S, *shape)``, ``-latents.npy`` the points
            ``(R, S, latent_dim)``, and for images ``.png``.
        console: for what there is to say.

    Returns:
        The files written.

    Raises:
        ConfigError: the family has no latent variables, or the request does not fit the model or the data.
    """
    needed = LatentDecoder if config.latent == "interpolate" else LatentVariables
    if not isinstance(model, needed):
        raise ConfigError(
            f"latent={config.latent}: needs {needed.__name__}, which {type(model).__name__} does not provide"
        )
    data.prepare_data()
    data.setup()
    table = WAYS[config.latent](config, model, data, console)
    written = save(output, {".npy": table.decoded, "-latents.npy": table.z})
    path = output.with_name(output.name + ".png")
    if table.write(model.levels, path):
        written.append(path)
    return written


def _examples(config: DictConfig, model: GenerativeModule, data: Any, n: int) -> tuple[Tensor, Tensor | None]:
    """``n`` examples, chosen by the seed, on the model's device, and their labels for a conditional model."""
    if n > data.size(config.split):
        raise ConfigError(
            f"latent={config.latent} needs {n:,} examples, and the split {config.split} of {data.name} has "
            f"{data.size(config.split):,}"
        )
    x, y = data.examples(config.split, n, config.seed)
    return x.to(model.device), y.to(model.device) if model.conditional else None


def _labels(config: DictConfig, model: GenerativeModule, own: Tensor | None, n: int) -> Tensor | None:
    """Labels ``(n,)`` to decode with: those of the config, or else the examples' own."""
    given = OmegaConf.to_container(config.y) if OmegaConf.is_list(config.y) else config.y
    y = labels_of(model, own, given, n)
    return None if y is None else y.to(model.device)


def _interpolate(config: DictConfig, model: Any, data: Any, console: Console) -> LatentTable:
    path, temperature = INTERPOLATIONS[config.interpolation], config.knobs.get("temperature", 0)
    way = {"path": path, "steps": config.steps, "temperature": temperature}
    if not isinstance(model, LatentVariables):
        own = torch.arange(config.rows) % model.num_classes if model.conditional else None
        return prior_interpolations(model, _labels(config, model, own, config.rows), rows=config.rows, **way)
    x, own = _examples(config, model, data, 2 * config.rows)
    y = _labels(config, model, None if own is None else own[::2], config.rows)
    return interpolations(model, x, own, y, **way)


def _reconstruct(config: DictConfig, model: Any, data: Any, console: Console) -> LatentTable:
    x, own = _examples(config, model, data, config.rows)
    y = _labels(config, model, own, config.rows)
    return reconstructions(model, x, own, y, draws=config.draws, temperature=config.knobs.get("temperature", 0))


def _traverse(config: DictConfig, model: Any, data: Any, console: Console) -> LatentTable:
    x, own = _examples(config, model, data, min(data.evaluation_batch_size, data.size(config.split)))
    y = _labels(config, model, None if own is None else own[:1], 1)
    is_prior = config.centre == "prior"
    centre = model.sample_prior(PRIOR_DRAWS).mean(0) if is_prior else model.latent_mean(x, own)[0]
    used, form = usage(model, x, own)
    values = symmetric_values(config.extent, config.steps)
    temperature = config.knobs.get("temperature", 0)
    table = traversals(model, centre, y, used, form, rows=config.rows, values=values, temperature=temperature)
    console.print(
        f"  {form.split()[0]} over {len(x):,} examples: {', '.join(table.rows)}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    return table


WAYS = {"interpolate": _interpolate, "traverse": _traverse, "reconstruct": _reconstruct}
