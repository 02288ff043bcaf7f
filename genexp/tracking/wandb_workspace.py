"""A W&B workspace that lays out the comparison of families, built from what the runs have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from genexp.record.errors import SPLITS, ConfigError
from genexp.record.folder import RunFolder
from genexp.record.provenance import write_atomically
from genexp.record.small_files import DamagedFile
from genexp.record.values import is_nll
from genexp.reports.comparison import find_runs
from genexp.reports.output import check_output, writing
from genexp.reports.tables import ARROWS

COLUMNS = ["config:choices.value.model", "config:choices.value.data", "config:seed.value", "config:parameters.value"]
"""Of a table of runs: what tells them apart."""
LIKELIHOOD = {"exact": "exact", "bound": "upper bound", "estimate": "estimate"}


def save_workspace(
    paths: list[str], entity: str, project: str, name: str, json_file: str | None, console: Console
) -> None:
    """Build the view for the metrics of some runs, and save it.

    Args:
        paths: run folders, or folders that hold some.
        entity: W&B user or team.
        project: W&B project.
        name: of the view.
        json_file: where to write the view's definition instead of saving it to the server; None to save.
        console: where to say what was done.

    Raises:
        ConfigError: the package is missing, no run has metrics, or the server refuses.
    """
    if json_file is not None:
        check_output("--json", json_file)
    records = _records(find_runs(paths), console)
    if not records:
        raise ConfigError(f"none of the runs in {', '.join(paths)} has metrics yet: there is nothing to lay out")
    workspace = build(list(records.values()), entity, project, name)
    if json_file is not None:
        with writing("--json", Path(json_file)):
            write_atomically(Path(json_file), workspace._to_model().model_dump_json(by_alias=True, indent=2) + "\n")
        console.print(f"{json_file}: {len(workspace.sections)} sections", highlight=False)
        return
    try:
        workspace.save()
    except Exception as error:
        raise ConfigError(f"the workspace was not saved: {' '.join(str(error).split())}") from error
    console.print(f"saved: {workspace.url}", highlight=False, soft_wrap=True)


def _records(runs: Sequence[RunFolder], console: Console) -> dict[str, dict[str, Any]]:
    """A record for each key of the runs that can be read; it is said of which not."""
    records = {}
    for run in runs:
        try:
            records |= {r["key"]: r for r in run.metrics()}
        except DamagedFile as error:
            if len(runs) == 1:
                raise
            console.print(f"  left out: {error}", highlight=False, soft_wrap=True)
    return records


def panels_of(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Panels by the title of their section: of likelihoods with their kind, bounds, latents, sample quality, samples, cost and
    training.

    Args:
        records: final values as in ``metrics.json``, one for each key.

    Raises:
        ConfigError: the package wandb-workspaces is missing.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
    except ImportError as error:
        raise ConfigError("the package wandb-workspaces is missing: pip install genexp[workspace]") from error

    def bar(record: dict[str, Any], kind: str) -> Any:
        unit = f", {record['unit']}" if record["unit"] else ""
        return panels.BarPlot(
            title=f"{record['key']}{kind}{unit} {ARROWS[record['direction']]}", metrics=[record["key"]]
        )

    likelihoods = [r for r in records if is_nll(r)]
    others = [r for r in records if not is_nll(r)]
    likelihoods.sort(key=lambda r: list(LIKELIHOOD).index(r["kind"]))
    curves = [panels.LinePlot(title=f"val/{key}", x="images", y=[f"val/{key}"]) for key in ("loss", "elbo")]
    media = [
        panels.MediaBrowser(title=key, media_keys=[key], num_columns=4)
        for key in ("samples", "reconstructions", "curves")
    ]
    costs = [
        panels.BarPlot(title=title, metrics=[f"cost/{key}"])
        for key, title in (("minutes", "training, minutes"), ("images_per_second", "training, images/s"))
    ]
    keys = {(r["split"], r["quantity"]): r["key"] for r in records}
    planes = [
        panels.ScatterPlot(
            title=f"{split}: distortion against rate, nats", x=keys[split, "rate"], y=keys[split, "distortion"]
        )
        for split in SPLITS
        if {(split, "rate"), (split, "distortion")} <= keys.keys()
    ]
    bounds = panels.CustomChart(
        query={"summaryTable": {"tableKey": "bounds"}},
        chart_name="wandb/line/v0",
        chart_fields={"x": "log k", "y": "nats", "stroke": "name"},
        chart_strings={"title": "upper bounds on -log p(x), nats, against log k"},
    )
    sections = {
        "Likelihood": [bar(r, f" ({LIKELIHOOD[r['kind']]})") for r in likelihoods],
        "Bounds": planes + [bounds] * any("k" in r["settings"] for r in likelihoods),
        "Latents": [bar(r, "") for r in others if r["unit"]],
        "Sample quality": [bar(r, "") for r in others if not r["unit"]],
        "Samples": media,
        "Cost": costs,
        "Training": curves,
    }
    return {title: found for title, found in sections.items() if found}


def build(records: list[dict[str, Any]], entity: str, project: str, name: str) -> Any:
    """The view: a ``wandb_workspaces.workspaces.Workspace`` with a panel for each of the records.

    Args:
        records: final values as in ``metrics.json``, one for each key.
        entity: W&B user or team.
        project: W&B project.
        name: of the view.

    Raises:
        ConfigError: the package wandb-workspaces is missing.
    """
    sections = panels_of(records)
    import wandb_workspaces.workspaces as workspaces

    columns = [*COLUMNS, *(f"summary:{r['key']}" for r in records)]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=k, panels=v, is_open=True) for k, v in sections.items()],
        settings=workspaces.WorkspaceSettings(x_axis="images"),
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric("Group")], pinned_columns=[*columns, "summary:cost/minutes"]
        ),
    )
