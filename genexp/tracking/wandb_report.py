"""A W&B report that compares families: a table of all values, and for each kind of them the panels, with the pictures."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.small_files import DamagedFile
from genexp.reports.comparison import find_runs
from genexp.reports.tables import ARROWS, figure
from genexp.tracking.wandb_workspace import COLUMNS, panels_of

ABOUT = {
    "Likelihood": "In nats or bits per dimension. A bound is no exact value: it says that the true one is not above it.",
    "Bounds": "Rate and distortion, and bounds on -log p(x) against the number of draws.",
    "Sample quality": "Values of other features, or of another number of samples, do not compare with these.",
    "Samples": "Of the best checkpoint in the end, and on the way; reconstructions where the family has latent variables.",
    "Cost": "Of the training, validation included, on the machine that each run had.",
    "Training": "Against the number of images seen.",
}
"""What stands above the panels of a section."""


def save_report(paths: Sequence[str], entity: str, project: str, title: str, draft: bool, console: Console) -> None:
    """Build the report of some runs, and save it.

    Args:
        paths: run folders, or folders that hold some.
        entity: W&B user or team.
        project: W&B project.
        title: of the report.
        draft: leave it unpublished.
        console: where to say what was done.

    Raises:
        ConfigError: the package is missing, no run has metrics or was logged with W&B, or the server refuses.
    """
    runs = [run for run in find_runs(paths) if _is_told(run, console)]
    if not runs:
        raise ConfigError(f"none of the runs in {', '.join(paths)} has metrics and was logged with W&B")
    report = build(runs, entity, project, title)
    try:
        report.save(draft=draft)
    except Exception as error:
        raise ConfigError(f"the report was not saved: {' '.join(str(error).split())}") from error
    console.print(f"saved: {report.url}", highlight=False, soft_wrap=True)


def _is_told(run: RunFolder, console: Console) -> bool:
    """Whether a run can be in the report; else it is said why not."""
    try:
        if not run.metrics():
            reason = "it has no metrics yet"
        elif "wandb" not in run.status():
            reason = "it was not logged with W&B (logger=wandb)"
        else:
            return True
    except DamagedFile as error:
        reason = str(error)
    console.print(f"  left out: {run.path}: {reason}", highlight=False, soft_wrap=True)
    return False


def build(runs: Sequence[RunFolder], entity: str, project: str, title: str) -> Any:
    """The report, a ``wandb_workspaces.reports.v2.Report``.

    Args:
        runs: with metrics, logged with W&B.
        entity, project, title: see :func:`save_report`.

    Raises:
        ConfigError: the package wandb-workspaces is missing.
    """
    sections = panels_of(list({r["key"]: r for run in runs for r in run.metrics()}.values()))
    import wandb_workspaces.reports.v2 as reports

    ids = [run.status()["wandb"]["id"] for run in runs]
    blocks: list[Any] = [reports.TableOfContents(), reports.H2("All values"), reports.MarkdownBlock(_table(runs))]
    for name, panels in sections.items():
        runset = reports.Runset(
            entity=entity,
            project=project,
            name="the compared runs",
            filters=f"Metric('ID') in {ids}",
            groupby=[] if name == "Samples" else ["config.choices.model"],  # each run has pictures of its own
            pinned_columns=COLUMNS,
        )
        text = [reports.P(ABOUT[name])] if name in ABOUT else []
        blocks += [reports.H2(name), *text, reports.PanelGrid(runsets=[runset], panels=panels)]
    families = sorted({str(run.choices().get("model", "?")) for run in runs})
    return reports.Report(
        entity=entity,
        project=project,
        title=title,
        description=f"{len(runs)} runs of {', '.join(families)}, evaluated under one protocol",
        width="fluid",
        blocks=blocks,
    )


def _table(runs: Sequence[RunFolder]) -> str:
    """Markdown: a run a row, values of the best checkpoint with their standard errors; ``≤`` before a bound."""
    found = [{r["key"]: r for r in run.metrics() if r["checkpoint"] == "best"} for run in runs]
    about = {key: record for records in found for key, record in records.items()}
    heads = ["run", "model", "data", "seed", *(f"{key} {ARROWS[r['direction']]}" for key, r in about.items())]
    lines = [heads, ["---"] * len(heads)]
    for run, records in zip(runs, found, strict=True):
        choices, url = run.choices(), run.status()["wandb"].get("url")
        name = run.path.name.replace("|", r"\|")
        own = [
            f"[{name}]({url})" if url else name,
            choices.get("model"),
            choices.get("data"),
            run.resolved().get("seed"),
        ]
        values = [records.get(key) for key in about]
        lines.append([*map(str, own), *("-" if r is None else _text(r) for r in values)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(record: dict[str, Any]) -> str:
    return "≤ " * (record["kind"] == "bound") + figure(record["value"], record["stderr"])
