"""The command ``genexp`` and its verbs. Only what a verb needs is imported, when it is needed; and nothing that takes long before
:func:`main` listens, so that whoever interrupts a command that is starting is told so in one line."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from genexp import verbs
from genexp.task import Task, console, exit_code, remove_empty

HELP = """\
genexp: config-driven experiments for generative models.

  genexp train ...       train a model, evaluate its best checkpoint, write one run folder under outputs/
  genexp repeat ...      train a recorded run anew, from its folder, and compare the results
  genexp evaluate ...    compute metrics of trained runs
  genexp sample ...      draw from a trained run
  genexp compare ...     one table of several runs: configurations in rows, seeds aggregated
  genexp wandb ...       W&B: export files without a server; a workspace and a report that compare runs; sweeps
  genexp published       published numbers, and what was reproduced of them
  genexp list ...        what there is to choose: models, data, metrics, experiments ...
  genexp info ...        one of them: its keys and what they mean, what fits it, its paper
  genexp completion ...  completion of commands for bash, zsh and fish
  genexp shards ...      write images as tar shards, for data that are larger than memory

Examples
  genexp train                                             MADE on 4,000 real digits, no network needed
  genexp train -m model=made,vae,dcgan seed=0,1            a sweep
  genexp compare outputs/<sweep>                           its table
  genexp train experiment=made_uci_dna                     a published configuration

Each verb explains itself with --help; genexp list shows what model=, data=, metrics= ... can be.
Without a verb, options and overrides go to train."""


def main() -> None:
    """Entry point of the console script."""
    try:
        if sys.argv[1:3] == ["completion", "--answer"]:  # a person waits at the prompt
            _completion(sys.argv[2:])
            return
        from genexp.sweeps.process import die_with_parent
        from genexp.terminal import lasting_streams

        die_with_parent()
        with lasting_streams():
            _main()
    except KeyboardInterrupt:
        end_interrupted()


def end_interrupted() -> NoReturn:
    """The end of a command that was interrupted. A second Ctrl-C, or one that a module notices while it goes, changes nothing."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("genexp: error: interrupted", file=sys.stderr, flush=True)
    sys.exit(130)


def _verbs() -> dict[str, Callable[[list[str]], None]]:
    return {
        "train": _train_verb,
        "repeat": verbs.repeat,
        "evaluate": lambda rest: _hydra("evaluate", rest),
        "sample": lambda rest: _hydra("sample", rest),
        "compare": _compare,
        "wandb": verbs.wandb,
        "published": verbs.published,
        "list": verbs.list_options,
        "info": verbs.info,
        "completion": _completion,
        "shards": verbs.shards,
    }


def _main() -> None:
    from genexp.record.errors import ConfigError

    try:
        _run(sys.argv[1:], _verbs())
    except ConfigError as error:
        _fail(str(error), 2)
    except Exception as error:
        from genexp.runs.hydra_errors import one_line

        if "GENEXP_TRACE" in os.environ:
            raise
        _fail(one_line(error), exit_code(error))


def _run(arguments: list[str], known: dict[str, Callable[[list[str]], None]]) -> None:
    """Do what the words of a command ask for."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP)
        return
    if arguments[0] == "--version":
        from genexp import __version__

        print(__version__)
        return
    if arguments[0].startswith(("-", "+", "~")) or "=" in arguments[0]:
        arguments.insert(0, "train")
    from genexp.catalogue.candidates import COMPOSED
    from genexp.command_line import check_options, take_up_config_dir
    from genexp.record.errors import ConfigError, nearest

    verb, *rest = arguments
    if verb not in known:
        from genexp.catalogue.files import groups

        group = f" {verb}=... chooses one: genexp list {verb}." if verb in groups() else nearest(verb, list(known))
        raise ConfigError(f"'{verb}' is not a verb: {', '.join(known)}.{group}")
    sys.path.insert(0, os.getcwd())  # so that a config can name a class in a file beside it
    take_up_config_dir(rest)
    if verb in COMPOSED:
        check_options(rest, verb)
    known[verb](rest)


def _fail(line: str, code: int) -> NoReturn:
    """One line on stderr, and the end."""
    from genexp.terminal import harmless

    print(f"genexp: error: {harmless(line)}", file=sys.stderr)
    sys.exit(code)


def _hydra(verb: str, arguments: list[str]) -> None:
    """Let Hydra compose the verb's config and run it, once per job; errors become one line each."""
    import hydra
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    from genexp.command_line import (
        check_outputs,
        check_words,
        literal_names,
        logger_of_agent,
        name_of_sweep,
        options_and_overrides,
    )
    from genexp.hydra_words import as_meant
    from genexp.record.errors import ConfigError
    from genexp.runs.hydra_errors import explain, no_option
    from genexp.sweeps.config_files import FileConfigSource
    from genexp.sweeps.default_name import CLAIMED
    from genexp.sweeps.grid import GridSweeper
    from genexp.sweeps.job import CONFIG_ERROR
    from genexp.sweeps.launcher import SubprocessLauncher
    from genexp.sweeps.optuna import OptunaSweeper
    from genexp.sweeps.random import RandomSweeper
    from genexp.sweeps.ray import RayLauncher

    for plugin in (GridSweeper, RandomSweeper, OptunaSweeper, SubprocessLauncher, RayLauncher):
        # Hydra accepts plugins from its own namespace, which an editable install cannot add to: so under a name there.
        Plugins.instance().class_name_to_class[f"hydra_plugins.genexp.{plugin.__name__}"] = plugin
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
    task = Task(verb, sys.argv)
    options, overrides = options_and_overrides(arguments)
    check_words(overrides)
    arguments = [*options, *literal_names(as_meant(verb, options, overrides))]
    if verb == "train":
        arguments += [*name_of_sweep(arguments), *logger_of_agent(arguments)]
        if not any(a.startswith("-") and a not in ("-m", "--multirun") for a in arguments):
            check_outputs()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us instead of Hydra's own printer
    sys.argv = [f"genexp {verb}", *arguments]
    try:
        try:
            hydra.main(version_base="1.3", config_path="pkg://genexp.conf", config_name=verb)(task)()
        finally:
            while CLAIMED:
                remove_empty(CLAIMED.pop())
    except (HydraException, OmegaConfBaseException) as error:
        if "GENEXP_TRACE" in os.environ:
            raise
        _fail(explain(error, verb, arguments), 2)
    except OSError as error:
        if "GENEXP_TRACE" in os.environ:
            raise
        _fail(f"{error.filename or verb}: {error.strerror or error}", 2)
    except ValueError as error:  # of Hydra, for a group that is set to what is no option
        if "GENEXP_TRACE" in os.environ or isinstance(error, ConfigError):
            raise
        _fail(no_option(arguments) or " ".join(str(error).split()), 2)
    if failures := task.failures:
        if task.jobs > 1:
            print(f"genexp: error: {len(failures)} of {task.jobs} jobs failed", file=sys.stderr)
        codes = {CONFIG_ERROR if isinstance(e, MissingMandatoryValue) else exit_code(e) for e in failures}
        sys.exit(codes.pop() if codes == {CONFIG_ERROR} or (len(codes) == 1 and not task.is_sweep) else 1)


def _train_verb(arguments: list[str]) -> None:
    """``run=FOLDER`` continues a run with the config that it holds; everything else is composed."""
    runs = [a for a in arguments if a.startswith("run=")]
    if not runs:
        _hydra("train", arguments)
        return
    from genexp.command_line import literal_names, without_config_dir
    from genexp.hydra_words import as_meant
    from genexp.record.errors import ConfigError
    from genexp.runs.from_folder import resume

    if not (run := runs[-1].removeprefix("run=")).strip():
        raise ConfigError("run must not be empty: a run folder is needed; is a variable of the shell not set?")
    overrides = [a for a in without_config_dir(arguments) if a not in runs]
    resume(run, literal_names(as_meant("train", [], overrides)), console())


def _compare(arguments: list[str]) -> None:
    from genexp.record.errors import Parser

    parser = Parser(
        prog="genexp compare",
        description="One table of several runs: rows are configurations, only what differs is shown; seeds become "
        "mean ± sd; the best of a column is marked *; bounds are marked ≤; values with different protocols "
        "stand in different columns. Likelihoods are in nats for binary data, in bits/dim for others.",
        epilog="examples: genexp compare outputs/20260101-120000-sweep     genexp compare outputs/a outputs/b --csv t.csv     "
        "genexp compare outputs/beta --plot rate_distortion",
    )
    parser.add_argument("folder", nargs="+", help="run folders, or folders of runs such as a sweep's")
    parser.add_argument("--metrics", default="", help="show the keys that contain one of these, comma-separated")
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write the values as numbers too, a line for each configuration and metric: value, standard error, kind, protocol",
    )
    parser.add_argument("--json", metavar="FILE", help="the same as JSON")
    parser.add_argument(
        "--plot",
        metavar="PLOT",
        help="instead of the table, draw bounds (of -log p against the number of draws k) or rate_distortion (the plane of "
        "rate and distortion, with the lower envelope)",
    )
    parser.add_argument("--output", metavar="FILE", help="of the plot; default: <first folder>/<plot>.png")
    options = parser.parse_intermixed_args(arguments)
    for option in ("metrics", "csv", "json") if options.plot is not None else ("output",):
        if getattr(options, option):
            place = "has no effect on a plot" if options.plot is not None else "names the file of a plot: --plot"
            parser.error(f"--{option} {place}")
    if options.plot is not None:
        from genexp.reports.plots import plot

        plot(options.folder, options.plot, options.output, console())
        return
    from genexp.reports.comparison_table import compare

    files = {f"--{kind}": file for kind in ("csv", "json") if (file := getattr(options, kind)) is not None}
    compare(options.folder, [m for m in options.metrics.split(",") if m], files, console())


def _completion(arguments: list[str]) -> None:
    from genexp.completion import main

    main(arguments, _verbs(), HELP)
