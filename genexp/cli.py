"""The command ``genexp`` and its verbs. Only what a verb needs is imported, when it is needed."""

import argparse
import os
import sys
from collections.abc import Callable
from difflib import SequenceMatcher, get_close_matches
from typing import Any, NoReturn

from rich.console import Console

from genexp.runs.config import ConfigError, check, nearest, register_resolvers
from genexp.runs.secrecy import refuse_secrets

HELP = """\
genexp: config-driven experiments for generative models.

  genexp train ...       train a model, evaluate its best checkpoint, write one run folder under outputs/
  genexp evaluate ...    compute metrics of trained runs
  genexp sample ...      draw from a trained run
  genexp compare ...     one table of several runs: configurations in rows, seeds aggregated
  genexp wandb ...       export W&B files without a server; save a W&B workspace that compares runs
  genexp published       published numbers, and what was reproduced of them

Examples
  genexp train                                             MADE on 4,000 real digits, no network needed
  genexp train -m model=made,pixelcnn,vae,dcgan seed=0,1   a sweep
  genexp compare outputs/<sweep>                           its table
  genexp train experiment=made_uci_dna                     a published configuration

Each verb explains itself with --help. Without a verb, options and overrides go to train."""


def main() -> None:
    """Entry point of the console script."""
    verbs: dict[str, Callable[[list[str]], None]] = {
        "train": lambda rest: _hydra("train", _train, rest),
        "evaluate": lambda rest: _hydra("evaluate", _evaluate, rest),
        "sample": lambda rest: _hydra("sample", _sample, rest),
        "compare": _compare,
        "wandb": _wandb,
        "published": _published,
    }
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return
    if arguments[0] == "--version":
        from genexp import __version__

        print(__version__)
        return
    if arguments[0].startswith("-") or "=" in arguments[0]:
        arguments.insert(0, "train")
    verb, *rest = arguments
    if verb not in verbs:
        _fail(f"'{verb}' is not a verb: {', '.join(verbs)}.{nearest(verb, list(verbs))}", 2)
    sys.path.insert(0, os.getcwd())  # so that a config can name a class in a file beside it
    try:
        verbs[verb](rest)
    except ConfigError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt as stop:
        _fail("interrupted; what was saved is in the run folder", getattr(stop, "exit_code", 130))


def _fail(line: str, code: int) -> NoReturn:
    """One line on stderr, and the end."""
    print(f"genexp: error: {line}", file=sys.stderr)
    sys.exit(code)


def console() -> Console:
    """Rich output, wide enough for a table where there is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=170)


def _hydra(verb: str, task: Callable[[Any], None], arguments: list[str]) -> None:
    """Let Hydra compose the verb's config and call ``task`` with it, once per job; errors become one line each."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    arguments = sorted(arguments, key=lambda a: a not in ("-m", "--multirun"))  # Hydra takes it at either end only
    register_resolvers(_swept(arguments))
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us instead of Hydra's own printer
    wants_trace = "GENEXP_TRACE" in os.environ

    failures: list[Exception] = []
    jobs = 0

    def job(config: Any) -> None:
        """Tell of a failure when it happens, and let a sweep go on."""
        nonlocal jobs
        sys.argv = original  # what Lightning starts further processes with
        jobs += 1
        try:
            task(config)
        except Exception as error:
            if wants_trace:
                raise
            print(f"genexp: error: {_one_line(error)}", file=sys.stderr)
            failures.append(error)

    original, sys.argv = sys.argv, [f"genexp {verb}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://genexp.conf", config_name=verb)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        if wants_trace:
            raise
        _fail(_explain(error, verb, arguments), 2)
    if failures:
        if jobs > 1:
            print(f"genexp: error: {len(failures)} of {jobs} jobs failed", file=sys.stderr)
        sys.exit(2 if all(isinstance(e, (ConfigError, MissingMandatoryValue)) for e in failures) else 1)


def _swept(arguments: list[str]) -> list[str]:
    """Keys of the overrides with several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        overrides = OverridesParser.create().parse_overrides([a for a in arguments if "=" in a and a[0] != "-"])
    except OverrideParseException:
        return []  # Hydra tells of it
    return [override.key_or_group for override in overrides if override.is_sweep_override()]


def _one_line(error: Exception) -> str:
    """An error in one line; what is not the user's input is named by its type too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ConfigError) else f"{type(error).__name__}: {text}"


def _explain(error: Exception, verb: str, arguments: list[str]) -> str:
    """One line for what Hydra found wrong with the overrides or the config files, with the nearest valid name."""
    import re

    from hydra.errors import OverrideParseException

    text = str(error)
    cause = error.__cause__
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: {text.splitlines()[0]}; quote what the shell or Hydra would take apart: 'key=\"a b\"'"
        )
    if unknown := re.search(r"Could not override '([^']*)'", text):
        name = unknown.group(1)
        return f"{name} is not in the config of genexp {verb}.{_nearest_key(name, verb, arguments)} (+{name}=... adds a new key)"
    if missing := re.search(r"Could not find '([^']*)'|In '[^']*': Could not (?:find|load) '([^']*)'", text):
        name = missing.group(1) or missing.group(2)
        available = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        options = f" Available: {', '.join(available)}." if available else ""
        return f"there is no config '{name}'.{nearest(name.rsplit('/', 1)[-1], available)}{options}"
    if cause is not None and str(cause) not in text:
        text = f"{text}: {cause}"
    return " ".join(text.split())


def _nearest_key(name: str, verb: str, arguments: list[str]) -> str:
    """The key or group of the verb's config, with the groups that were chosen, that looks most like ``name``."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    GlobalHydra.instance().clear()
    groups = [a for a in arguments if "=" in a and "." not in a.split("=")[0] and name not in a and "," not in a]
    with initialize_config_module("genexp.conf", version_base="1.3"):
        try:
            config = compose(verb, overrides=groups)
        except HydraException:
            config = compose(verb)
    keys: list[str] = []

    def collect(node: Any, path: str) -> None:
        for key in node if isinstance(node, DictConfig) else ():
            keys.append(f"{path}.{key}" if path else str(key))
            collect(node._get_node(key), keys[-1])

    collect(config, "")
    last_parts = {key.rpartition(".")[2] for key in keys}
    if close := get_close_matches(name.rpartition(".")[2], last_parts, n=1, cutoff=0.7):
        keys = [key for key in keys if key.rpartition(".")[2] == close[0]]
        return f" Did you mean '{max(keys, key=lambda key: SequenceMatcher(a=name, b=key).ratio())}'?"
    return nearest(name, keys)


def _train(config: Any) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    check(config)
    refuse_secrets(config)
    job = HydraConfig.get()
    sweep = os.path.basename(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    OmegaConf.update(config, "name", os.path.basename(job.runtime.output_dir) if sweep else config.name)
    OmegaConf.update(config, "sweep", sweep)
    from genexp.runs.folder import RunFolder
    from genexp.runs.train import train

    folder = RunFolder(os.path.relpath(job.runtime.output_dir))
    overrides = list(job.overrides.task)
    choices = {g: str(c) for g, c in job.runtime.choices.items() if not g.startswith("hydra/") and c is not None}
    try:
        train(config, folder, overrides, choices, sweep, console())
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
        "stand in different columns. Likelihoods are in nats for binary data, in bits/dim for others.",
        epilog="examples: genexp compare outputs/20260101-120000-sweep     genexp compare outputs/a outputs/b --csv t.csv",
    )
    parser.add_argument("folder", nargs="+", help="run folders, or folders of runs such as a sweep's")
    parser.add_argument("--metrics", default="", help="show the keys that contain one of these, comma-separated")
    parser.add_argument("--csv", metavar="FILE", help="write the table as CSV too")
    options = parser.parse_args(arguments)
    from genexp.runs.compare import compare

    compare(options.folder, [m for m in options.metrics.split(",") if m], options.csv, console())


def _wandb(arguments: list[str]) -> None:
    from genexp.runs.wandb_verbs import main

    main(arguments, console())


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
