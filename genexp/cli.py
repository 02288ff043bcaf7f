"""The command ``genexp`` and its verbs. Only what a verb needs is imported, when it is needed."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from genexp.runs.config import ConfigError, check, nearest, register_resolvers

HELP = """\
genexp: config-driven experiments for generative models.

  genexp train ...       train a model, evaluate its best checkpoint, write one run folder under outputs/
  genexp evaluate ...    compute metrics of trained runs
  genexp sample ...      draw from a trained run
  genexp compare ...     one table of several runs: configurations in rows, seeds aggregated
  genexp published       published numbers, and what was reproduced of them

Examples
  genexp train                                             MADE on 4,000 real digits, no network needed
  genexp train -m model=made,pixelcnn,vae,dcgan seed=0,1   a sweep
  genexp compare outputs/<sweep>                           its table
  genexp train experiment=made_uci_dna                     a published configuration

Each verb explains itself with --help."""


def main() -> None:
    """Entry point of the console script."""
    verbs: dict[str, Callable[[list[str]], None]] = {
        "train": lambda rest: _hydra("train", _train, rest),
        "evaluate": lambda rest: _hydra("evaluate", _evaluate, rest),
        "sample": lambda rest: _hydra("sample", _sample, rest),
        "compare": _compare,
        "published": _published,
    }
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return
    verb, *rest = arguments
    if verb == "--version":
        from genexp import __version__

        print(__version__)
        return
    if verb not in verbs:
        _fail(f"'{verb}' is not a verb: {', '.join(verbs)}.{nearest(verb, list(verbs))}", 2)
    sys.path.insert(0, os.getcwd())  # so that a config can name a class in a file beside it
    try:
        verbs[verb](rest)
    except ConfigError as error:
        _fail(str(error), 2, error)
    except KeyboardInterrupt:
        _fail("interrupted; what was saved is in the run folder", 130)


def _fail(line: str, code: int, error: BaseException | None = None) -> None:
    """One line on stderr, unless it was printed when it happened, and the end."""
    if not getattr(error, "reported", False):
        print(f"genexp: error: {line}", file=sys.stderr)
    sys.exit(code)


def console() -> Console:
    """Rich output, wide enough for a table where there is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=150)


def _hydra(verb: str, task: Callable[[Any], None], arguments: list[str]) -> None:
    """Let Hydra compose the verb's config and call ``task`` with it, once per job; errors become one line each."""
    import hydra
    from hydra.errors import HydraException

    register_resolvers()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us instead of Hydra's own printer
    wants_trace = "GENEXP_TRACE" in os.environ

    def job(config: Any) -> None:
        try:
            task(config)
        except Exception as error:
            if wants_trace:
                raise
            kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
            print(f"genexp: error: {kind}{error}", file=sys.stderr)
            error.reported = True
            raise

    sys.argv = [f"genexp {verb}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://genexp.conf", config_name=verb)(job)()
    except ConfigError:
        raise
    except HydraException as error:
        if getattr(error, "reported", False) or wants_trace:
            raise
        _fail(_explain(error, verb), 2)
    except Exception as error:
        if wants_trace:
            raise
        _fail(f"{type(error).__name__}: {error}", 1, error)


def _explain(error: Exception, verb: str) -> str:
    """One line for what Hydra found wrong with the overrides or the config files, with the nearest valid name."""
    import re

    text = str(error)
    cause = error.__cause__
    if unknown := re.search(r"Could not override '([^']*)'", text):
        name = unknown.group(1)
        return f"{name} is not in the config of genexp {verb}.{_nearest_key(name, verb)} (+{name}=... adds a new key)"
    if missing := re.search(r"Could not find '([^']*)'|In '[^']*': Could not (?:find|load) '([^']*)'", text):
        name = missing.group(1) or missing.group(2)
        available = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        options = f" Available: {', '.join(available)}." if available else ""
        return f"there is no config '{name}'.{nearest(name.rsplit('/', 1)[-1], available)}{options}"
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    return " ".join(text.split())


def _nearest_key(name: str, verb: str) -> str:
    """The key or group of the verb's default config that looks most like ``name``."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig

    GlobalHydra.instance().clear()
    with initialize_config_module("genexp.conf", version_base="1.3"):
        config = compose(verb)
    parent, _, last = name.rpartition(".")
    keys: dict[str, str] = {}

    def collect(node: Any, path: str) -> None:
        if isinstance(node, DictConfig):
            for key in node:
                here = f"{path}.{key}" if path else str(key)
                keys.setdefault(here, here)
                collect(node._get_node(key), here)

    collect(config, "")
    if hint := nearest(name, list(keys)):
        return hint
    short = {key.rsplit(".", 1)[-1]: key for key in reversed(list(keys))}
    hint = nearest(last, list(short))
    return hint if not hint else f" Did you mean '{short[hint.split(chr(39))[1]]}'?"


def _train(config: Any) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    check(config)
    job = HydraConfig.get()
    sweep = os.path.basename(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    OmegaConf.update(config, "name", os.path.basename(job.runtime.output_dir) if sweep else config.name)
    OmegaConf.update(config, "sweep", sweep)
    from genexp.runs.folder import RunFolder
    from genexp.runs.train import train

    folder = RunFolder(os.path.relpath(job.runtime.output_dir))
    try:
        train(config, folder, list(job.overrides.task), sweep, console())
    except ConfigError:
        folder.discard_if_empty()
        raise


def _evaluate(config: Any) -> None:
    from genexp.runs.evaluate import evaluate

    evaluate(config, console())


def _sample(config: Any) -> None:
    from genexp.runs.sample import sample

    sample(config, console())


def _compare(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="genexp compare",
        description="One table of several runs: rows are configurations, only what differs is shown; seeds become "
        "mean ± sd; the best of a column is marked *; bounds are marked ≤; values with different protocols "
        "stand in different columns.",
        epilog="examples: genexp compare outputs/20260101-120000-sweep     genexp compare outputs/a outputs/b --csv t.csv",
    )
    parser.add_argument("folder", nargs="+", help="run folders, or folders of runs such as a sweep's")
    parser.add_argument("--metrics", default="", help="show only keys that contain one of these, comma-separated")
    parser.add_argument("--csv", metavar="FILE", help="write the table as CSV too")
    options = parser.parse_args(arguments)
    from genexp.runs.compare import compare

    compare(options.folder, [m for m in options.metrics.split(",") if m], options.csv, console())


def _published(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="genexp published",
        description="The ledger of published numbers: every config in conf/experiment with a `published` block, and "
        "what was reproduced of it.",
        epilog="example: genexp published     then: genexp train experiment=made_uci_dna",
    )
    parser.add_argument("--config-dir", metavar="DIR", help="also read DIR/experiment/*.yaml")
    options = parser.parse_args(arguments)
    from genexp.runs.published import published

    published(options.config_dir, console())
