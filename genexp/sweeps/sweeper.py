"""What every sweeper of genexp shares: the plan, the start of what is left to do, and the summary, with any launcher."""

import dataclasses
import os
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from genexp.record.errors import ConfigError, check_choice
from genexp.record.folder import RunFolder
from genexp.record.identity import identity
from genexp.reports.plots import PLOTS
from genexp.runs.first_stage import insert
from genexp.runs.train_config import check
from genexp.sweeps.estimate import RemainingTime, estimate
from genexp.sweeps.job import Job, job_name
from genexp.sweeps.launcher import SubprocessLauncher
from genexp.sweeps.plan import look_up, refuse_existing, show
from genexp.sweeps.process import quoted
from genexp.sweeps.summary import Outcome, outcome, summarise
from genexp.terminal import Terminal

OWN = ("name", "group", "resume", "dry_run", "sweep")
"""Keys that a sweep gives its jobs, and that cannot vary between them."""


class PlanOnly(Exception):
    """The plan was asked for, and nothing else."""


class PlannedSweeper(Sweeper):
    """A sweep that is planned before it starts, can be continued, and ends with a summary.

    A subclass decides on the points in ``search``: all at once, or in batches that depend on how earlier ones came out.

    Args:
        params: overrides of the sweep's config file, ``{key: values in Hydra's grammar}``; the command line wins.
        probe: whether speeds that no finished run tells are measured for the time estimate.
        plots: which of :data:`genexp.reports.plots.PLOTS` are drawn of the runs at the end.

    Raises:
        ConfigError: there is no such plot.
    """

    def __init__(self, params: Mapping[str, Any], probe: bool, plots: Sequence[str]) -> None:
        for what in plots:
            check_choice("hydra.sweeper.plots", what, list(PLOTS))
        self.params, self.probe, self.plots = params or {}, probe, plots
        self.jobs: list[Job] = []
        self.interrupted: BaseException | None = None
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    @abstractmethod
    def search(self, swept: dict[str, Override]) -> None:
        """Run the points of the sweep by calling ``run`` once or several times.

        Args:
            swept: the overrides with several values, by key.
        """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config
        launch = Plugins.instance().instantiate_launcher
        self.launcher = launch(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Called by Hydra with the overrides of the command line.

        Raises:
            ConfigError: the sweep cannot begin; nothing was written.
            SystemExit: jobs failed: 1, or 2 if all were wrong in their config; a signal ended it: 130 or 143.
        """
        repeat = ["genexp", "train", *sys.argv[1:]]
        self.console = Terminal(soft_wrap=True)
        lines = [f"{key}={value}" for key, value in self.params.items()]
        parsed = OverridesParser.create(config_loader=self.context.config_loader).parse_overrides([*lines, *arguments])
        overrides = {o.get_key_element(): o for o in parsed}
        swept = {key: o for key, o in overrides.items() if o.is_sweep_override()}
        if wrong := next((key for key in swept if key in OWN), None):
            raise ConfigError(f"{swept[wrong].input_line}: {wrong} belongs to the sweep as a whole and takes one value")
        self.fixed = [o.input_line for key, o in overrides.items() if key not in swept and key not in OWN[:-1]]
        self.folder = Path(self.config.hydra.sweep.dir)
        if not self.config.resume:
            refuse_existing(self.folder)
        try:
            self.search(swept)
        except PlanOnly:
            return
        finally:
            with suppress(OSError):  # holds something, or was not made
                self.folder.rmdir()  # it was claimed for a name that nobody chose
        code = summarise(self.jobs, self.folder, repeat, self.plots, self.console)
        if self.interrupted is not None:
            raise self.interrupted
        if code:
            raise SystemExit(code)

    def run(self, points: Sequence[Sequence[str]]) -> list[Outcome]:
        """Plan a batch and run what is left to do of it.

        Args:
            points: the overrides of each job, beside those that all share.

        Returns:
            How each came out, in their order, read from its run folder; also those that had been done before.

        Raises:
            ConfigError: no job of the first batch has a config that is right; or a folder is in the way.
        """
        jobs = [self._compose(list(point)) for point in points]
        if jobs and not self.jobs and all(job.error is not None for job in jobs):
            raise jobs[0].error
        look_up(jobs, self.folder, self.config.resume or bool(self.jobs))
        todo = [job for job in jobs if job.action in ("run", "resume")]
        show(jobs, self.console)
        is_ours = isinstance(self.launcher, SubprocessLauncher)
        n_jobs, environment = (self.launcher.n_jobs, self.launcher.environment(0)) if is_ours else (1, os.environ)
        expected = estimate(todo, self.folder.parent, self.probe, environment, self.console)
        clock = RemainingTime(todo, expected, n_jobs, self.console)
        clock.announce()
        if self.config.dry_run:
            raise PlanOnly
        self.jobs += jobs
        if is_ours:
            self.launcher.on_end = clock.job_ended
        try:
            if todo:
                self.launcher.launch([self._overrides(job) for job in todo], len(self.jobs) - len(jobs))
        except (KeyboardInterrupt, SystemExit) as stop:  # a signal in a job of this process
            self.interrupted = stop
        if getattr(self.launcher, "stopped_by", None):
            self.interrupted = SystemExit(128 + self.launcher.stopped_by)
        named = {job.name: job for job in jobs}
        return [outcome(named.get(job.detail, job) if job.action == "twin" else job) for job in jobs]

    def _overrides(self, job: Job) -> list[str]:
        """All that a job is composed with: so its folder and name do not depend on the launcher."""
        own = {
            "name": job.name,
            "group": self.config.group or self.folder.name,
            "hydra.sweep.dir": str(self.folder),
            "hydra.sweep.subdir": job.name,
        }
        switches = ["resume=true"] if self.config.resume or job.action == "resume" else []
        return [*self.fixed, *job.point, *switches, *(f"{key}={quoted(value)}" for key, value in own.items())]

    def _compose(self, point: list[str]) -> Job:
        """A job with its config composed and checked; ``error`` says what is wrong with it."""
        name = job_name(point)
        job = Job(name, point, RunFolder(self.folder / name))
        before = HydraConfig.instance().cfg
        try:
            config = self._config(job)
            insert(config)
            check(config)
            job.config = OmegaConf.to_container(config, resolve=True)
            job.identity = identity(job.config)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            job.action, job.error = "invalid", error
            job.detail = str(error).splitlines()[0]
        finally:
            HydraConfig.instance().cfg = before
        return job

    def _config(self, job: Job) -> DictConfig:
        """A job's config. Hydra composes it once for each choice of config groups, which takes long; values are then set in
        a copy."""
        values = {
            o.key_or_group: o.value()
            for o in OverridesParser.create().parse_overrides(job.point)
            if o.type == OverrideType.CHANGE
            and o.package is None
            and o.key_or_group not in self.config.hydra.runtime.choices
        }
        groups = tuple(item for item in job.point if item.partition("=")[0] not in values)
        if groups not in self._composed:
            first = dataclasses.replace(job, point=list(groups))
            self._composed[groups] = self.context.config_loader.load_sweep_config(self.config, self._overrides(first))
        HydraConfig.instance().set_config(self._composed[groups])
        config = self._composed[groups].copy()
        with open_dict(config):
            del config["hydra"]
        for key, value in {**values, "name": job.name}.items():
            if OmegaConf.select(config, key, default=...) is ...:  # Hydra finds the words for it
                self.context.config_loader.load_sweep_config(self.config, self._overrides(job))
            OmegaConf.update(config, key, value)
        return config
