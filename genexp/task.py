"""What is done with a composed config: train, evaluate or sample. Imported before anything that takes long."""

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genexp.terminal import Terminal


def console() -> "Terminal":
    """Rich output, wide enough for a table where there is no terminal."""
    from genexp.terminal import Terminal

    return Terminal() if sys.stdout.isatty() else Terminal(width=170)


def exit_code(error: Exception) -> int:
    """2 for what is the user's input, the error's own where it has one, as a training that diverged has 3, and else 1."""
    from genexp.record.errors import ConfigError
    from genexp.sweeps.job import CONFIG_ERROR

    return CONFIG_ERROR if isinstance(error, ConfigError) else getattr(error, "exit_code", 1)


class Task:
    """What Hydra calls with each composed config; launchers that run jobs elsewhere can pickle it.

    Args:
        verb: train, evaluate or sample.
        command: the command line, as Lightning must find it when it starts further processes.
    """

    def __init__(self, verb: str, command: list[str]) -> None:
        self.verb, self.command = verb, command
        self.jobs = 0
        self.is_sweep = False
        self.begun: set[str] = set()
        self.failures: list[Exception] = []

    def __call__(self, config: Any) -> None:
        """Tell of a failure when it happens, record it, and let a multirun go on."""
        import multiprocessing

        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from genexp.record.folder import RunFolder
        from genexp.runs.hydra_errors import one_line
        from genexp.sweeps.job import record_failure
        from genexp.sweeps.process import die_with_parent
        from genexp.terminal import harmless

        sys.argv = self.command
        self.jobs += 1
        hydra = HydraConfig.get()
        self.is_sweep = hydra.mode == RunMode.MULTIRUN
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
            print(f"genexp: error: {harmless(one_line(error))}", file=sys.stderr)
            self.failures.append(error)
            if self.verb == "train" and self.is_sweep:
                record_failure(folder, before, "failed", one_line(error), exit_code=exit_code(error))
            elif self.verb == "train":
                remove_empty(folder.path)


def remove_empty(folder: Any) -> None:
    """Remove a folder that Hydra made for a run which wrote nothing, and those above it that are then empty.

    Args:
        folder: relative to the working folder, above which nothing is removed.
    """
    for path in (folder, *folder.parents):
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return
        try:
            path.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # holds something, of a run before
            return


def _train(config: Any) -> None:
    from hydra.core.hydra_config import HydraConfig

    from genexp.record.folder import RunFolder
    from genexp.runs.first_stage import insert
    from genexp.runs.train_config import check

    job = HydraConfig.get()
    _check_sweep(job, config.dry_run)
    check(config)
    if insert(config):
        check(config)
    folder = RunFolder(os.path.relpath(job.runtime.output_dir))
    if config.dry_run:
        from genexp.sweeps.plan import plan_one

        remove_empty(folder.path)
        plan_one(config, folder, console())
        return
    from genexp.runs.train import train

    overrides = list(job.overrides.task)
    choices = {g: str(c) for g, c in job.runtime.choices.items() if not g.startswith("hydra/") and c is not None}
    train(config, folder, overrides, choices, console())


def _check_sweep(job: Any, is_dry: bool) -> None:
    """Refuse settings of a sweep for a single run, where they would have no effect; jobs of a sweep have them, and the plan of a
    run heeds ``hydra.sweeper.probe``."""
    from hydra.types import RunMode

    from genexp.record.errors import ConfigError

    given = list(job.overrides.hydra)
    if job.mode == RunMode.MULTIRUN or any(word.startswith("hydra.run.dir=") for word in given):  # a launcher's job
        return
    for word in given:
        if is_dry and word.startswith("hydra.sweeper.probe="):
            continue
        if word.lstrip("+").startswith(("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher")):
            raise ConfigError(f"{word}: has no effect without a sweep: add -m")


def _evaluate(config: Any) -> None:
    from genexp.runs.verb_config import check_evaluate

    check_evaluate(config)
    from genexp.runs.evaluate import evaluate

    evaluate(config, console())


def _sample(config: Any) -> None:
    from hydra.core.hydra_config import HydraConfig

    from genexp.runs.verb_config import check_sample

    check_sample(config, HydraConfig.get().overrides.task)
    from genexp.runs.sampling.sample import sample

    sample(config, console())
