"""A search as an Optuna study in a database: what was asked, what came out, and what is left. Imported where Optuna is used."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from genexp.record.errors import ConfigError, nearest
from genexp.record.folder import RunFolder
from genexp.runs.optuna_trial import connect, make
from genexp.sweeps.summary import Outcome

FINAL = (TrialState.COMPLETE, TrialState.PRUNED)
CERTAIN = ("TrainingDiverged: ", "TrainingCollapsed: ")
"""How an error begins that the same config and seed would meet again."""


def history(folder: RunFolder, metric: str) -> list[tuple[int, float]]:
    """``(images, value)`` of a metric in ``metrics.csv``."""
    return [(int(row["images"]), float(row["value"])) for row in folder.rows() if row["metric"] == metric]


def result(folder: RunFolder, metric: str, direction: str) -> float:
    """The value of a run that is done: of ``metrics.json``, or the best of ``metrics.csv``.

    Raises:
        ConfigError: neither has the metric; names those that there are.
    """
    final = {record["key"]: record["value"] for record in folder.metrics()}
    if metric in final:
        return final[metric]
    if values := [value for _, value in history(folder, metric)]:
        return (min if direction == "minimize" else max)(values)
    there = [*dict.fromkeys(row["metric"] for row in folder.rows()), *final]
    raise ConfigError(
        f"hydra.sweeper.metric={metric}: {folder.path} has {', '.join(there)}.{nearest(metric, there)} Nothing is lost: "
        "resume=true goes on with another metric"
    )


class Search:
    """A study that outlives its processes. A point is what the sampler asks for; a point whose run failed is asked for
    again, as a further trial with ``retry_of``. Trials have the attributes ``overrides``, ``folder`` and, if they failed,
    ``error`` and ``is_retried``.

    Args:
        storage: URL of the database.
        name: of the study.
        space: the distribution of every key.
        metric: what is optimised.
        direction: minimize or maximize.
        sampler: makes the sampler of a trial from its number, so that a trial is a function of that and of the study.
        pruner: node of the config, or None.
        allow_targets: modules that the user trusts.
        resume: whether a study of this name is continued.

    Raises:
        ConfigError: there is such a study and ``resume`` is false, or it searches something else.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        space: dict[str, BaseDistribution],
        metric: str,
        direction: str,
        sampler: Callable[[int], BaseSampler],
        pruner: Mapping[str, Any] | None,
        allow_targets: Sequence[str],
        resume: bool,
    ) -> None:
        self.storage, self.name, self.space, self.metric, self.direction = storage, name, space, metric, direction
        self.sampler = sampler
        backend = connect(storage)
        if name in optuna.get_all_study_names(backend) and not resume:
            raise ConfigError(f"name={name}: {storage} already holds this study; resume=true continues it")
        self.study = optuna.create_study(
            storage=backend,
            study_name=name,
            direction=direction,
            sampler=RandomSampler(),
            pruner=make("pruner", pruner, allow_targets) if pruner is not None else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        self._check_same()
        entries = {"metric": metric, "space": {key: distribution_to_json(d) for key, d in space.items()}}
        entries["pruner"] = pruner and dict(pruner)
        for key, value in entries.items():
            self.study.set_user_attr(key, value)
        self._left_running: list[Trial] = []
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if len(trial.params) == len(space):
                self._left_running.append(Trial(self.study, trial._trial_id))
            else:  # the process ended while it asked
                self.study.tell(trial.number, state=TrialState.FAIL)

    def _check_same(self) -> None:
        """Refuse to continue the study as another one."""
        before, found = self.study.user_attrs, self.trials()
        where = f"the study {self.name} in {self.storage}"
        hint = "set it back, or choose another name"
        if found:
            old, new = before["space"], {key: distribution_to_json(d) for key, d in self.space.items()}
            for key in dict.fromkeys([*old, *new]):
                if old.get(key) != new.get(key):
                    was, now = (describe(s[key]) if key in s else "nothing" for s in (old, new))
                    raise ConfigError(f"{key}: {where} searches {was}, now {now}; {hint}")
        if any(t.state in FINAL for t in found) and before["metric"] != self.metric:
            raise ConfigError(f"hydra.sweeper.metric={self.metric}: {where} holds values of {before['metric']}; {hint}")
        if self.study.direction.name.lower() != self.direction:
            raise ConfigError(
                f"hydra.sweeper.direction={self.direction}: {where} has {self.study.direction.name.lower()}; {hint}"
            )

    def trials(self) -> list[FrozenTrial]:
        """All trials with their whole point, and those that wait."""
        found = self.study.get_trials(deepcopy=False)
        return [t for t in found if t.state == TrialState.WAITING or len(t.params) == len(self.space)]

    def attempts(self) -> list[list[FrozenTrial]]:
        """The trials of each point, the first one first."""
        points: dict[int, list[FrozenTrial]] = {}
        for trial in self.trials():
            points.setdefault(trial.user_attrs.get("retry_of", trial.number), []).append(trial)
        return list(points.values())

    def ask(self, most: int, n_trials: int, max_retries: int) -> list[Trial]:
        """The next trials: those that an earlier process left running, then failed points again, then new ones.

        Args:
            most: how many.
            n_trials: points of the study in total.
            max_retries: of a point that failed.

        Returns:
            None at the end of the search.
        """
        batch, self._left_running = self._left_running[:most], self._left_running[most:]
        for trials in self.attempts():
            last = trials[-1]
            if last.state == TrialState.FAIL and last.user_attrs.get("is_retried") and len(trials) <= max_retries:
                self.study.enqueue_trial(last.params, user_attrs={"retry_of": trials[0].number})
        while len(batch) < most:
            points = self.attempts()
            if len(points) >= n_trials and not any(t[-1].state == TrialState.WAITING for t in points):
                break
            self.study.sampler = self.sampler(len(self.study.get_trials(deepcopy=False)))
            batch.append(self.study.ask(self.space))
        return batch

    def tell(self, trial: Trial, end: Outcome) -> None:
        """How a trial's run ended; one that was interrupted or not begun stays as it is, and is asked for again.

        Raises:
            ConfigError: the run has no such metric.
        """
        trial.set_user_attr("folder", str(end.folder.path))
        value = result(end.folder, self.metric, self.direction) if end.state == "done" else None
        if end.state in ("done", "pruned") and self.metric.startswith("val/"):
            reported = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
            for images, reached in history(end.folder, self.metric):
                if images not in reported:  # of another trial with the same point, or by a run that was continued alone
                    trial.report(reached, images)
        if end.state == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif value is not None and math.isfinite(value):
            self.study.tell(trial, value)
        elif end.state in ("done", "failed"):
            error = end.error or f"{self.metric} is {value}"
            trial.set_user_attr("error", error)
            is_certain = end.is_config_error or end.state == "done" or error.startswith(CERTAIN)
            trial.set_user_attr("is_retried", not is_certain)
            self.study.tell(trial, state=TrialState.FAIL)

    def best(self) -> FrozenTrial | None:
        """The trial with the best value; None while none is done."""
        return self.study.best_trial if any(t.state == TrialState.COMPLETE for t in self.trials()) else None


def describe(distribution: str) -> str:
    """A distribution that was kept as JSON, in words."""
    kept = json.loads(distribution)
    values = kept["attributes"]
    if kept["name"] == "CategoricalDistribution":
        return f"one of {', '.join(map(str, values['choices']))}"
    kind = "the logarithm of " * values["log"] + kept["name"].removesuffix("Distribution").lower()
    return f"{kind} from {values['low']} to {values['high']}"
