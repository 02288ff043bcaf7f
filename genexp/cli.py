"""The command ``genexp`` and its verbs. Only what a verb needs is imported, when it is needed."""

import argparse
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from rich.console import Console

from genexp.command_line import check_outputs, name_of_sweep, options_first, take_up_config_dir, without_config_dir
from genexp.record.errors import ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.runs.first_stage import insert
from genexp.runs.hydra_errors import explain, one_line
from genexp.runs.train_config import check
from genexp.sweeps.job import CONFIG_ERROR, record_failure
from genexp.sweeps.process import die_with_parent

HELP = """\
genexp: config-driven experiments for generative models.

  genexp train ...       train a model, evaluate its best checkpoint, write one run folder under outputs/
  genexp repeat ...      train a recorded run anew, from its folder, and compare the results
  genexp evaluate ...    compute metrics of trained runs
  genexp sample ...      draw from a trained run
  genexp compare ...     one table of several runs: configurations in rows, seeds aggregated
  genexp wandb ...       export W&B files without a server; save a W&B workspace that compares runs
  genexp published       published numbers, and what was reproduced of them

Examples
  genexp train                                             MADE on 4,000 real digits, no network needed
  genexp train -m model=made,vae,dcgan seed=0,1            a sweep
  genexp compare outputs/<sweep>                           its table
  genexp train experiment=made_uci_dna                     a published configuration

Each verb explains itself with --help. Without a verb, options and overrides go to train."""


def main() -> None:
    """Entry point of the console script."""
    die_with_parent()
    verbs: dict[str, Callable[[list[str]], None]] = {
        "train": _train_verb,
        "repeat": _repeat,
        "evaluate": lambda rest: _hydra("evaluate", rest),
        "sample": lambda rest: _hydra("sample", rest),
        "compare": _compare,
        "wandb": _wandb,
        "published": _published,
    }
    try:
        _run(sys.argv[1:], verbs)
        sys.stdout.flush()
    except ConfigError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:  # as under `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _run(arguments: list[str], verbs: dict[str, Callable[[list[str]], None]]) -> None:
    """Do what the words of a command ask for."""
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
        raise ConfigError(f"'{verb}' is not a verb: {', '.join(verbs)}.{nearest(verb, list(verbs))}")
    sys.path.insert(0, os.getcwd())  # so that a config can name a class in a file beside it
    take_up_config_dir(rest)
    verbs[verb](rest)


def _fail(line: str, code: int) -> NoReturn:
    """One line on stderr, and the end."""
    print(f"genexp: error: {line}", file=sys.stderr)
    sys.exit(code)


def console() -> Console:
    """Rich output, wide enough for a table where there is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=170)


class Task:
    """What Hydra calls with each composed config; launchers that run jobs elsewhere can pickle it.

    Args:
        verb: train, evaluate or sample.
        command: the command line, as Lightning must find it when it starts further processes.
    """

    def __init__(self, verb: str, command: list[str]) -> None:
        self.verb, self.command = verb, command
        self.jobs = 0
        self.begun: set[str] = set()
        self.failures: list[Exception] = []

    def __call__(self, config: Any) -> None:
        """Tell of a failure when it happens, record it, and let a multirun go on."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        sys.argv = self.command
        self.jobs += 1
        hydra = HydraConfig.get()
        folder = RunFolder(os.path.relpath(hydra.runtime.output_dir))
        before = folder.status()
        if self.verb == "train" and str(folder.path) in self.begun:  # a launcher pickles the task with a requeued job
            config.resume = True
        self.begun.add(str(folder.path))
        if os.getcwd() not in sys.path:  # in a launcher's worker
            sys.path.insert(0, os.getcwd())
        die_with_parent()
        parent = os.getppid()
        try:
            {"train": _train, "evaluate": _evaluate, "sample": _sample}[self.verb](config)
        except SystemExit as end:
            if multiprocessing.parent_process() is not None and os.getppid() != parent:
                os._exit(end.code)  # a worker of joblib would wait for jobs of a sweep that is gone
            raise
        except Exception as error:
            if "GENEXP_TRACE" in os.environ:
                raise
            print(f"genexp: error: {one_line(error)}", file=sys.stderr)
            self.failures.append(error)
            if self.verb == "train" and hydra.mode == RunMode.MULTIRUN:
                code = CONFIG_ERROR if isinstance(error, ConfigError) else 1
                record_failure(folder, before, "failed", one_line(error), exit_code=code)


def _hydra(verb: str, arguments: list[str]) -> None:
    """Let Hydra compose the verb's config and run it, once per job; errors become one line each."""
    import hydra
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    from genexp.sweeps.grid import GridSweeper
    from genexp.sweeps.launcher import SubprocessLauncher
    from genexp.sweeps.optuna import OptunaSweeper
    from genexp.sweeps.random import RandomSweeper
    from genexp.sweeps.ray import RayLauncher

    for plugin in (GridSweeper, RandomSweeper, OptunaSweeper, SubprocessLauncher, RayLauncher):
        # Hydra accepts plugins from its own namespace, which an editable install cannot add to: so under a name there.
        Plugins.instance().class_name_to_class[f"hydra_plugins.genexp.{plugin.__name__}"] = plugin
    task = Task(verb, sys.argv)
    arguments = options_first(arguments)
    if verb == "train":
        arguments += name_of_sweep(arguments)
        if not any(a.startswith("-") and a not in ("-m", "--multirun") for a in arguments):
            check_outputs()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us instead of Hydra's own printer
    sys.argv = [f"genexp {verb}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path="pkg://genexp.conf", config_name=verb)(task)()
    except (HydraException, OmegaConfBaseException) as error:
        if "GENEXP_TRACE" in os.environ:
            raise
        _fail(explain(error, verb, arguments), 2)
    if failures := task.failures:
        if task.jobs > 1:
            print(f"genexp: error: {len(failures)} of {task.jobs} jobs failed", file=sys.stderr)
        sys.exit(2 if all(isinstance(e, (ConfigError, MissingMandatoryValue)) for e in failures) else 1)


def _train(config: Any) -> None:
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    try:
        insert(config)
        check(config)
    except ConfigError:
        with suppress(OSError):  # holds something, of a run before
            os.rmdir(job.runtime.output_dir)  # Hydra made it
        raise
    folder = RunFolder(os.path.relpath(job.runtime.output_dir))
    if config.dry_run:
        from genexp.sweeps.plan import plan_one

        plan_one(config, folder, console())
        return
    from genexp.runs.train import train

    overrides = list(job.overrides.task)
    choices = {g: str(c) for g, c in job.runtime.choices.items() if not g.startswith("hydra/") and c is not None}
    train(config, folder, overrides, choices, console())


def _train_verb(arguments: list[str]) -> None:
    """``run=FOLDER`` continues a run with the config that it holds; everything else is composed."""
    runs = [a for a in arguments if a.startswith("run=")]
    if not runs:
        _hydra("train", arguments)
        return
    from genexp.runs.from_folder import resume

    overrides = [a for a in without_config_dir(arguments) if a not in runs]
    resume(runs[-1].removeprefix("run="), overrides, console())


def _repeat(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="genexp repeat",
        description="Train a recorded run anew, with the config in its folder, and compare the results with its own.",
        epilog="example: genexp repeat outputs/x name=again trainer=cpu",
    )
    parser.add_argument("folder", help="a run folder")
    parser.add_argument("overrides", nargs="*", help="key=value, e.g. name=again (outputs/again) or seed=1")
    options = parser.parse_intermixed_args(without_config_dir(arguments))
    from genexp.runs.from_folder import repeat

    repeat(options.folder, options.overrides, console())


def _evaluate(config: Any) -> None:
    from genexp.runs.evaluate import evaluate

    evaluate(config, console())


def _sample(config: Any) -> None:
    from genexp.runs.sampling.sample import sample

    sample(config, console())


def _compare(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="genexp compare",
        description="One table of several runs: rows are configurations, only what differs is shown; seeds become "
        "mean ± sd; the best of a column is marked *; bounds are marked ≤; values with different protocols "
        "stand in different columns. Likelihoods are in nats for binary data, in bits/dim for others.",
        epilog="examples: genexp compare outputs/20260101-120000-sweep     genexp compare outputs/a outputs/b --csv t.csv     "
        "genexp compare outputs/beta --plot rate_distortion",
    )
    parser.add_argument("folder", nargs="+", help="run folders, or folders of runs such as a sweep's")
    parser.add_argument("--metrics", default="", help="show the keys that contain one of these, comma-separated")
    parser.add_argument("--csv", metavar="FILE", help="write the table as CSV too")
    parser.add_argument(
        "--plot",
        metavar="PLOT",
        help="instead of the table, draw bounds (of -log p against the number of draws k) or rate_distortion (the plane of "
        "rate and distortion, with the lower envelope)",
    )
    parser.add_argument("--output", metavar="FILE", help="of the plot; default: <first folder>/<plot>.png")
    options = parser.parse_intermixed_args(arguments)
    if options.plot is not None:
        from genexp.reports.plots import plot

        plot(options.folder, options.plot, options.output, console())
        return
    from genexp.reports.comparison import compare

    compare(options.folder, [m for m in options.metrics.split(",") if m], options.csv, console())


def _wandb(arguments: list[str]) -> None:
    from genexp.tracking.verbs import main

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
    from genexp.reports.ledger import published

    published(options.config_dir, console())
