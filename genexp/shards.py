"""``genexp shards``: any data set of images as tar shards, for ``data=shards``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.record.errors import ConfigError, Parser, nearest


def main(arguments: list[str], console: Console) -> None:
    """The verb.

    Raises:
        ConfigError: the source cannot be read, or the destination cannot be written.
    """
    parser = Parser(
        prog="genexp shards",
        description="Write a data set of images as tar shards (WebDataset's format), which data=shards reads.",
        epilog="examples: genexp shards cats outputs/cat-shards data.shape=[3,64,64]     genexp shards cifar10 outputs/cifar",
    )
    parser.add_argument(
        "source",
        help="a folder of images as data=image_folder reads it, train/<class>/*.png ...; or a data set, as cifar10",
    )
    parser.add_argument("destination", type=Path, help="the folder where they go")
    parser.add_argument("override", nargs="*", help="as of genexp train: data.shape=[3,64,64], data.splits=...")
    parser.add_argument("--per-shard", type=int, default=1000, metavar="N", help="examples in each (default 1000)")
    options = parser.parse_intermixed_args(arguments)
    if wrong := [word for word in options.override if not word.startswith("data")]:
        raise ConfigError(f"genexp shards: {wrong[0]}: only data=... and data.key=value say which images")
    if options.per_shard < 1:
        raise ConfigError(f"--per-shard {options.per_shard}: must be a whole number of at least 1")
    words = [*_chosen(options.source, options.override), *options.override]
    _write(words, options.destination, options.per_shard, console)


def _chosen(source: str, overrides: Sequence[str]) -> list[str]:
    """The overrides that a source stands for."""
    from genexp.catalogue.files import options

    names = [option.name for option in options("data")]
    if source.removeprefix("data=") in names:
        return [f"data={source.removeprefix('data=')}"]
    folder = Path(source)
    if not folder.is_dir():
        raise ConfigError(f"{source}: neither a folder nor a data set.{nearest(source, names)}")
    classes = [path for path in (folder / "train").glob("*") if path.is_dir()]
    is_said = any(word.startswith("data.num_classes=") for word in overrides) or not classes
    return ["data=image_folder", f"data.root='{source}'", *([] if is_said else [f"data.num_classes={len(classes)}"])]


def _write(words: list[str], destination: Path, per_shard: int, console: Console) -> None:
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from genexp.record.arguments import check_arguments
    from genexp.runs.from_folder import own_configs
    from genexp.runs.hydra_errors import explain

    try:
        with initialize_config_module("genexp.conf", version_base="1.3"):
            config: Any = compose("train", ["name=shards", *own_configs(), *words])
        check_arguments(config, "data")
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, "train", words)) from error
    from genexp.data.shard_writer import check_images, write_shards
    from genexp.record.instantiate import instantiate

    data = instantiate(config, "data", list(config.allow_targets))
    try:
        check_images(data)
        data.prepare_data()
        data.setup()
        counts = write_shards(data, destination, per_shard)
    except OSError as error:
        raise ConfigError(f"{error.filename or destination}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(" ".join(str(error).split())) from error
    for note in data.notes:
        console.print(f"  {note}", soft_wrap=True)
    for split, count in counts.items():
        console.print(f"{destination}: {count} shards of {split}, {data.size(split):,} images", soft_wrap=True)
    shape = ",".join(map(str, data.shape))
    facts = [f"data.root={destination}", f"data.shape=[{shape}]", f"data.levels={data.levels}"]
    if data.num_classes:
        facts.append(f"data.num_classes={data.num_classes}")
    console.print(f"to train: genexp train model=dcgan data=shards {' '.join(facts)}", soft_wrap=True)
