"""Points that Optuna chooses from how earlier ones came out, in a study that outlives the sweep's process."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from genexp.record.errors import ConfigError, check_choice
from genexp.record.folder import RunFolder
from genexp.sweeps.estimate import duration
from genexp.sweeps.job import Job
from genexp.sweeps.plan import look_up
from genexp.sweeps.process import quoted
from genexp.sweeps.random import DIGITS, check_interval, uniform
from genexp.sweeps.sweeper import PlannedSweeper

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from genexp.sweeps.study import Search

DIRECTIONS = ("minimize", "maximize")


def distribution(override: Override) -> "BaseDistribution":
    """What Optuna makes of the values of one key: an interval stays one, with the tag ``log`` on a logarithmic scale; a
    range of integers is ordered; all else is a choice without order.

    Raises:
        ConfigError: the interval is empty, or a logarithm is asked for of what is not positive.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    values = override.value()
    if isinstance(values, IntervalSweep):
        low, high, is_log = check_interval(override)
        return (IntDistribution if isinstance(low, int) else FloatDistribution)(low, high, log=is_log)
    texts = list(override.sweep_string_iterator())
    if isinstance(values, RangeSweep) and all(text.lstrip("-").isdigit() for text in texts):
        numbers = sorted(int(text) for text in texts)
        return IntDistribution(numbers[0], numbers[-1], step=numbers[1] - numbers[0] if len(numbers) > 1 else 1)
    return CategoricalDistribution(texts)


def overrides_of(params: Mapping[str, Any]) -> list[str]:
    """The overrides of a point. Numbers from an interval are rounded to 4 significant digits, as in hydra/sweeper=random."""
    return [f"{k}={float(f'{v:.{DIGITS}g}') if isinstance(v, float) else v}" for k, v in params.items()]


class OptunaSweeper(PlannedSweeper):
    """``n_trials`` points, in batches as large as the number of jobs at the same time; runs report to the study while they
    train, and those without hope end early.

    Args:
        params, probe, plots: see PlannedSweeper.
        n_trials: points of the study in total.
        metric: column of ``metrics.csv``, whose best value counts, or key of ``metrics.json``.
        direction: minimize or maximize.
        sampler: node of the config with a ``_target_`` in ``optuna.samplers``.
        pruner: node of the config with a ``_target_`` in ``optuna.pruners``, or None.
        seed: of the sampler; not that of the runs.
        max_retries: of a point whose run failed.
        batch: points that are asked for together; None for the launcher's ``n_jobs``.
        storage: URL of the database; None for ``study.db`` in the folder of the sweep.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        probe: bool,
        plots: Sequence[str],
        n_trials: int,
        metric: str,
        direction: str,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any] | None,
        seed: int,
        max_retries: int,
        batch: int | None,
        storage: str | None,
    ) -> None:
        super().__init__(params, probe, plots)
        self.n_trials, self.metric, self.direction, self.seed = n_trials, metric, direction, seed
        self.sampler, self.pruner = sampler, pruner
        self.max_retries, self.batch, self.storage = max_retries, batch, storage
        self._numbers: dict[tuple[str, ...], int] = {}

    def search(self, swept: dict[str, Override]) -> None:
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"hydra/sweeper=optuna needs Optuna: pip install 'genexp[optuna]' ({error})") from error
        self._check(swept)
        space = {key: distribution(override) for key, override in swept.items()}
        self.batch = self.batch or max(1, int(self.config.hydra.launcher.get("n_jobs") or 1))
        self._try_first(space, swept)
        self.storage = self.storage or f"sqlite:///{self.folder / 'study.db'}"
        from genexp.sweeps.study import Search

        with RunFolder(self.folder).lock():
            search = Search(
                self.storage,
                self.folder.name,
                space,
                self.metric,
                self.direction,
                self._sampler,
                self.pruner,
                self.config.allow_targets,
                self.config.resume,
            )
            self._take_up(search)
            try:
                self._run_all(search)
            finally:
                from genexp.sweeps.study_report import report

                for line in report(search, self.folder, self.seed):
                    self.console.print(line, markup=False)

    def _check(self, swept: dict[str, Override]) -> None:
        """Refuse what can be seen to be wrong before anything is written."""
        counts = (("n_trials", self.n_trials, 1), ("max_retries", self.max_retries, 0), ("batch", self.batch, 1))
        for name, value, least in counts:
            if not (isinstance(value, int) and value >= least) and (name, value) != ("batch", None):
                raise ConfigError(f"hydra.sweeper.{name}={value}: must be a whole number of at least {least}")
        if self.config.get("debug") is not None:
            raise ConfigError("debug: a study needs results, and a debug run is none; leave debug out, or the study")
        check_choice("hydra.sweeper.direction", self.direction, DIRECTIONS)
        if not swept:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search: give a key several values, e.g. "
                "'model.optimizer.lr=tag(log,interval(1e-4,1e-2))'"
            )
        split = self.config.evaluation.split
        if not str(self.metric).startswith(("val/", "train/", f"{split}/")):
            raise ConfigError(
                f"hydra.sweeper.metric={self.metric}: must be a column of metrics.csv, val/... or train/..., or a key of "
                f"metrics.json, which begin with {split}/ for evaluation.split={split}"
            )
        if self.pruner is not None and not self.metric.startswith("val/"):
            raise ConfigError(
                f"hydra.sweeper.pruner: {self.metric} is not known while a run trains; set null, or a metric val/..."
            )

    def _sampler(self, number: int) -> "BaseSampler":
        from genexp.runs.optuna_trial import make

        seed = int(uniform(self.seed, "trial", number) * 2**32)
        return make("sampler", self.sampler, self.config.allow_targets, seed=seed)

    def _try_first(self, space: "dict[str, BaseDistribution]", swept: dict[str, Override]) -> None:
        """Compose what a new study asks for first, so that what is wrong with all points is found before anything is
        written; a dry run shows it and the space, and ends there."""
        import optuna

        from genexp.runs.optuna_trial import make

        if self.pruner is not None:
            make("pruner", self.pruner, self.config.allow_targets)
        study = optuna.create_study(direction=self.direction)
        points = []
        for number in range(min(self.batch, self.n_trials)):
            study.sampler = self._sampler(number)
            points.append(overrides_of(study.ask(space).params))
        if (error := self._compose(points[0]).error) is not None:
            raise error
        if self.config.dry_run:
            ends = self.pruner["_target_"].rpartition(".")[2] if self.pruner is not None else "no pruner"
            self.console.print(
                f"{self.folder}: {self.n_trials} trials, {self.direction} {self.metric}, "
                f"{self.sampler['_target_'].rpartition('.')[2]}, {ends}; the space, and what a new study begins with:"
            )
            for override in swept.values():
                self.console.print(f"  {override.input_line}", markup=False)
            self.run(points)

    def _take_up(self, search: "Search") -> None:
        """See that the runs of finished trials are those that their points would give now, and count them as skipped."""
        from genexp.sweeps.study import FINAL

        finished = [overrides_of(trial.params) for trial in search.trials() if trial.state in FINAL]
        jobs = [self._compose(list(point)) for point in dict.fromkeys(map(tuple, finished))]
        look_up(jobs, self.folder, True)
        self.jobs += [job for job in jobs if job.action == "done"]

    def _run_all(self, search: "Search") -> None:
        """Ask, run and tell until all is done.

        Raises:
            ConfigError: the first jobs all are wrong in their config, or their runs do not have the metric.
        """
        began, ended = time.monotonic(), 0
        while self.interrupted is None and (batch := search.ask(self.batch, self.n_trials, self.max_retries)):
            points = [overrides_of(trial.params) for trial in batch]
            self._numbers = {}
            for trial, point in zip(batch, points, strict=True):
                trial.set_user_attr("overrides", point)
                self._numbers.setdefault(tuple(point), trial.number)
            is_first = not self.jobs
            ends = self.run(points)
            if is_first and all(end.is_config_error for end in ends):
                raise ConfigError(ends[0].error)
            for trial, end in zip(batch, ends, strict=True):
                search.tell(trial, end)
            if self.interrupted is None:
                ended += len(batch)
                self._tell_progress(search, (time.monotonic() - began) / ended)

    def _tell_progress(self, search: "Search", seconds: float) -> None:
        """After a batch: how much is done, the best so far, and how long the rest takes at ``seconds`` a trial."""
        count = sum(trials[-1].state.is_finished() for trials in search.attempts())
        best = search.best()
        so_far = f", best {self.metric} {best.value:.5g} (trial {best.number})" if best else ""
        left = f", about {duration(seconds * (self.n_trials - count))} left" if count < self.n_trials else ""
        self.console.print(f"{count} of {self.n_trials} trials{so_far}{left}", markup=False)

    def _overrides(self, job: Job) -> Sequence[str]:
        words = super()._overrides(job)
        if (number := self._numbers.get(tuple(job.point))) is None:
            return words
        where = {"storage": quoted(self.storage), "study": quoted(self.folder.name), "metric": quoted(self.metric)}
        inside = ",".join(f"{key}:{value}" for key, value in {**where, "number": number}.items())
        return [*words, "resume=true", f"trial={{{inside}}}"]  # a failed run is continued, whatever it left
