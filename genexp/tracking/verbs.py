"""``genexp wandb export``, ``workspace``, ``report`` and ``sweep``."""

from pathlib import Path

from rich.console import Console

from genexp.record.errors import Parser
from genexp.tracking.wandb_files import export
from genexp.tracking.wandb_report import save_report
from genexp.tracking.wandb_sweep import families, sweep_for
from genexp.tracking.wandb_workspace import save_workspace


def main(arguments: list[str], console: Console) -> None:
    """Parse what follows ``genexp wandb`` and do it."""
    parser = Parser(prog="genexp wandb", description="What belongs to Weights & Biases.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    files = verbs.add_parser(
        "export",
        help="write the W&B files of runs as CSV and JSON, without a server",
        description="Writes <output>/<run>/history.csv, summary.json and config.json from the W&B files in run folders, "
        "whether they were synced or not. Parts of one run (resumptions, evaluations) are put together.",
        epilog="example: genexp wandb export outputs/families --output exported",
    )
    files.add_argument("folder", nargs="+", help="run folders, or folders of runs such as a sweep's")
    files.add_argument("--output", metavar="DIR", default="wandb-export", help="default: %(default)s")
    view = verbs.add_parser(
        "workspace",
        help="save a W&B workspace that compares families: likelihood, FID, samples, cost",
        description="Saves a view of the project with sections for likelihood (exact beside bounds), sample quality, samples "
        "and cost. The panels are those of the metrics that the given runs have. Needs `pip install genexp[workspace]` and, "
        "unless --json is given, a server and a key.",
        epilog="example: genexp wandb workspace outputs/families --entity me",
    )
    view.add_argument("--name", default="genexp: families", help="of the view; default: %(default)s")
    view.add_argument("--json", metavar="FILE", help="write the view's definition here and save nothing")
    report = verbs.add_parser(
        "report",
        help="write a W&B report that compares families, with a table of all values and pictures",
        description="Saves a report of the given runs: a table of their values, then panels of likelihood (exact beside bounds), "
        "sample quality, samples, cost and training. Needs `pip install genexp[workspace]`, a server and a key.",
        epilog="example: genexp wandb report outputs/families --entity me",
    )
    for shown in (view, report):
        shown.add_argument("folder", nargs="+", help="run folders, or folders of runs such as a sweep's")
        shown.add_argument("--entity", required=True, help="W&B user or team")
        shown.add_argument("--project", default="genexp", help="default: %(default)s")
    report.add_argument("--title", default="Families of generative models", help="default: %(default)s")
    report.add_argument("--draft", action="store_true", help="leave it unpublished")
    sweep = verbs.add_parser(
        "sweep",
        help="print a W&B sweep: Bayesian search over a family, for agents on any machines",
        description="Prints the YAML that `wandb sweep` takes. Each run of its agents is a run folder, and the W&B run that the "
        "agent has asked for; it can be continued and evaluated as any other.",
        epilog="example: genexp wandb sweep vae data=digits training.max_images=20_000 > sweep.yaml; wandb sweep sweep.yaml",
    )
    sweep.add_argument("family", help=f"one of {', '.join(families())}")
    sweep.add_argument("overrides", nargs="*", help="key=value, the same for all runs")
    options = parser.parse_args(arguments)
    if options.verb == "sweep":
        print(sweep_for(options.family, options.overrides), end="")
    elif options.verb == "report":
        save_report(options.folder, options.entity, options.project, options.title, options.draft, console)
    elif options.verb == "export":
        export(options.folder, Path(options.output), console)
    else:
        save_workspace(options.folder, options.entity, options.project, options.name, options.json, console)
