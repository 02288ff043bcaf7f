"""The final values of a run in W&B: numbers in the summary, and tables."""

from collections.abc import Mapping
from math import isfinite, log
from typing import Any

from pytorch_lightning.loggers import Logger

from genexp.record.folder import RunFolder
from genexp.record.values import is_nll
from genexp.reports.tables import common_protocol, protocol_text


def write_final(logger: Logger, folder: RunFolder) -> None:
    """The values of ``metrics.json`` go to the summary under their keys (those of another checkpoint than the best one with its
    name behind, ``test/nll_nats@last``, those of a sampler with knobs with them, ``@temperature=0.7``; those of weights that the
    run has no more with what these had seen, ``@1500_images``), and with all that belongs to them into the table
    ``final_metrics``; likelihoods of single classes into ``likelihood_by_class``, bounds by their k into ``bounds``; the protocol
    that all values share into the config. Values of the validations have the smallest and the largest beside them.

    Args:
        logger: of W&B.
        folder: of the run.
    """
    records = folder.metrics()
    summary: dict[str, Any] = {}
    for record in folder.stale():
        summary[final_name(record)] = None  # it may be there from before
        summary[f"{final_name(record)}@{record['images_seen']}_images"] = record["value"]
    summary |= {final_name(record): record["value"] for record in records}
    logger.experiment.summary.update(cost(folder) | extremes(folder) | summary)
    if records:
        logger.experiment.log({"images": records[-1]["images_seen"]}, commit=False)  # the step of the tables
        protocol = common_protocol([record["protocol"] for record in records])
        logger.experiment.config.update({"protocol": protocol}, allow_val_change=True)
        columns = ["key", "value", "stderr", "unit", "kind", "direction", "n", "checkpoint", "protocol"]
        rows = [[*(r[c] for c in columns[:-1]), protocol_text(r["protocol"])] for r in records]
        logger.log_table("final_metrics", columns=columns, data=rows)
    bounds = sorted(
        [r["split"], r["settings"]["k"], log(r["settings"]["k"]), r["value"], r["stderr"]]
        for r in records
        if r["checkpoint"] == "best" and is_nll(r) and r["unit"] == "nats" and "k" in r["settings"]
    )
    if bounds:
        logger.log_table("bounds", columns=["split", "k", "log k", "nats", "stderr"], data=bounds)
    classes = [
        [r["key"], label, c["value"], c["stderr"], c["n"]]
        for r in records
        for label, c in (r.get("by_class") or {}).items()
    ]
    if classes:
        columns = ["key", "class", "value", "stderr", "n"]
        logger.log_table("likelihood_by_class", columns=columns, data=classes)


def final_name(record: Mapping[str, Any]) -> str:
    """Of a value in a summary."""
    suffix = "" if record["checkpoint"] == "best" else f"@{record['checkpoint']}"
    knobs = record["protocol"].get("knobs")
    return record["key"] + suffix + (f"@{knobs}" if knobs else "")


def cost(folder: RunFolder) -> dict[str, float]:
    """Images seen, minutes of training, validation included, and images per second; from the last row of ``metrics.csv``."""
    if not (rows := folder.rows()):
        return {}
    images, seconds = int(rows[-1]["images"]), float(rows[-1]["seconds"])
    speed = {"cost/images_per_second": images / seconds} if seconds else {}
    return {"images": images, "cost/minutes": seconds / 60} | speed


def extremes(folder: RunFolder) -> dict[str, float]:
    """``val/loss_min`` and ``val/loss_max``, and so on: of what validations measured. The last value is there by the name of the
    metric itself, a plain number, which tables, filters and sweeps of W&B take."""
    values: dict[str, list[float]] = {}
    for row in folder.rows():
        if row["metric"].startswith("val/") and isfinite(value := float(row["value"])):
            values.setdefault(row["metric"], []).append(value)
    return {f"{name}_{f.__name__}": f(found) for name, found in values.items() for f in (min, max)}
