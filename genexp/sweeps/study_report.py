"""What a study found, as text and as YAML."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import optuna
from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState

from genexp.record.provenance import write_atomically
from genexp.sweeps.study import Search

IMPORTANCE_TRIALS = 10
"""Finished trials from which on the importance of parameters is worth a line."""


def table(trials: Sequence[FrozenTrial], metric: str) -> list[str]:
    """Lines in columns: number, state, value and overrides of every trial, and why one failed."""
    rows = [("trial", "state", metric, "overrides")]
    for trial in trials:
        known = trial.user_attrs
        state = trial.state.name.lower() + (f" (retry of {known['retry_of']})" if "retry_of" in known else "")
        overrides = " ".join(known.get("overrides", []))
        error = f"  {known['error']}" if "error" in known else ""
        value = "-" if trial.value is None else f"{trial.value:.5g}"
        rows.append((str(trial.number), state, value, overrides + error))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [f"{n:>{widths[0]}}  {s:{widths[1]}}  {v:>{widths[2]}}  {o}".rstrip() for n, s, v, o in rows]


def repeat_command(trial: FrozenTrial) -> str:
    """The command that trains the run of a trial anew."""
    return shlex.join(["genexp", "repeat", trial.user_attrs["folder"]])


def write_best(search: Search, trial: FrozenTrial, path: Path) -> None:
    """Record the best trial as YAML: what it is, how it came out, where it is and how to repeat it."""
    content = {
        "metric": search.metric,
        "direction": search.direction,
        "value": trial.value,
        "trial": trial.number,
        "overrides": trial.user_attrs["overrides"],
        "folder": trial.user_attrs["folder"],
        "repeat": repeat_command(trial),
    }
    write_atomically(path, OmegaConf.to_yaml(OmegaConf.create(content)))


def importances(search: Search, seed: int) -> str | None:
    """How much of the metric's variance each parameter explains (functional ANOVA, Hutter et al. 2014) in one line; None
    where the trials are too few or all alike, or there is one parameter only."""
    values = [t.value for t in search.trials() if t.state == TrialState.COMPLETE]
    if len(values) < IMPORTANCE_TRIALS or len(set(values)) == 1 or len(search.space) == 1:
        return None
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    shares = optuna.importance.get_param_importances(search.study, evaluator=evaluator)
    return ", ".join(f"{key} {share:.2f}" for key, share in shares.items())


def report(search: Search, folder: Path, seed: int) -> list[str]:
    """Lines that close a sweep; ``best.yaml`` is written beside its runs.

    Args:
        search: the study.
        folder: of the sweep.
        seed: of the importances.
    """
    lines = table(search.trials(), search.metric)
    if text := importances(search, seed):
        lines.append(f"importance: {text}")
    if (best := search.best()) is None:
        return [*lines, "no trial is done"]
    write_best(search, best, folder / "best.yaml")
    lines.append(f"best: trial {best.number}, {search.metric} {best.value:.7g}, {best.user_attrs['folder']}")
    return [*lines, f"to repeat it: {repeat_command(best)}"]
