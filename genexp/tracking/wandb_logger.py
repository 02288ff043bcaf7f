"""Weights & Biases, reached through Lightning's logger only."""

import base64
import json
import netrc
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from math import log
from secrets import token_hex
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.record.values import is_nll
from genexp.reports.tables import common_protocol, protocol_text
from genexp.tracking.wandb_files import next_step, parts

RECORDED = ("git", "git_here", "versions", "python", "machine", "command", "started", "data_checksums")
"""Entries of ``status.json`` that go into the config of the W&B run, under ``run``."""
DIRECTIONS = {"loss": "min", "nll": "min", "elbo": "max", "bound": "max", "log_prob": "max"}
"""Validation quantities whose best value the summary keeps beside the last one."""


def obstacle(timeout_s: float = 5.0) -> str | None:
    """Why W&B cannot be reached online, found out in a few seconds by asking the server who we are; None if it can."""
    base = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")
    host = urlparse(base).hostname
    key = os.environ.get("WANDB_API_KEY")
    if not key:
        try:
            key = (netrc.netrc().authenticators(host) or (None, None, None))[2]
        except (OSError, netrc.NetrcParseError):
            pass
    if not key:
        return "there is no API key (WANDB_API_KEY, or `wandb login`)"
    headers = {"Content-Type": "application/json"}
    headers["Authorization"] = "Basic " + base64.b64encode(f"api:{key}".encode()).decode()
    question = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()
    try:
        with urlopen(Request(f"{base}/graphql", question, headers), timeout=timeout_s) as answer:
            known = (json.load(answer).get("data") or {}).get("viewer")
    except HTTPError as error:
        known = None
        if error.code not in (401, 403):
            return f"{host} answers {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException) as error:
        return f"{host} cannot be reached ({getattr(error, 'reason', error)})"
    return None if known else f"{host} does not accept the API key"


def make_loggers(
    settings: Mapping[str, Any] | None, record: Mapping[str, Any], folder: RunFolder, extra: list[str], console: Console
) -> list[Logger]:
    """The logger of a run, given what it is to record.

    A run folder keeps the id of its W&B run in ``status.json``: whatever comes later, a resumption or an evaluation, online or
    offline, continues the same W&B run.

    Args:
        settings: ``conf/logger/wandb`` as composed; None for no logger.
        record: the resolved config of the run, without its loggers.
        folder: the run folder; W&B's own files go there.
        extra: further modules that the user trusts.
        console: where to say that logging is offline.

    Returns:
        One W&B logger, or none.
    """
    if settings is None:
        return []
    settings = {name: value for name, value in settings.items() if name != "watch"}
    mode = os.environ.get("WANDB_MODE", settings["mode"])
    os.environ["WANDB_SILENT"] = "true"
    os.environ["WANDB_DATA_DIR"] = str((folder.path / "wandb").absolute())  # tables wait for their upload there
    settings["save_dir"] = str(folder.path.absolute())  # the process that writes there may have another working folder
    status = folder.status()
    earlier = status.get("wandb", {})
    settings["id"] = earlier.get("id") or token_hex(4)
    about = {key: status[key] for key in RECORDED if key in status}
    record = {**record, "run": {**about, "folder": str(folder.path)}}
    if mode == "online" and (problem := obstacle()):
        console.print(f"  W&B: {problem}; logging offline", highlight=False, soft_wrap=True)
        mode = "offline"
    settings["mode"] = mode
    # W&B names its folders by the second: another one within the same second would overwrite the first
    while any(
        part.parent.name.endswith(f"{time.strftime('%Y%m%d_%H%M%S')}-{settings['id']}") for part in parts(folder.path)
    ):
        time.sleep(0.1)
    step = next_step(folder.path) if mode == "offline" else 0
    logger = instantiate(OmegaConf.create({"logger": {"wandb": settings}}), "logger.wandb", extra)
    try:
        logger.log_hyperparams(record)  # begins the W&B run
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        text = " ".join(str(error).split())
        raise ConfigError(f"logger.wandb: {text}; logger.wandb.mode=offline logs without the server") from error
    if step:
        logger.experiment.log({}, step=step)  # a server tells the last step of a resumed run; offline nobody does
    logger.experiment.define_metric("images")
    logger.experiment.define_metric("*", step_metric="images")
    for name, direction in DIRECTIONS.items():
        logger.experiment.define_metric(f"val/{name}", step_metric="images", summary=f"{direction},last")
    if mode != "disabled":
        entry = {name: settings[name] for name in ("id", "project", "group", "mode")}
        folder.set_status(status.get("state", "running"), wandb=entry | {"url": logger.experiment.url})
    return [logger]


def watch(loggers: list[Logger], model: GenerativeModule, what: str | None, every_steps: int) -> None:
    """Log histograms of ``what``, gradients, parameters or all; nothing for None."""
    for logger in loggers:
        if what is not None:
            logger.watch(model, log=what, log_freq=every_steps, log_graph=False)


def finish(
    loggers: list[Logger], folder: RunFolder, failed: bool, console: Console, offline: Callable[[], list[Logger]]
) -> None:
    """Write the final values and end the W&B runs: the next job in this process is then a run of its own.

    The values of ``metrics.json`` go to the summary under their keys (those of another checkpoint than the best one with its
    name behind, ``test/nll_nats@last``, those of a sampler with knobs with them, ``@temperature=0.7``; those of weights that the
    run has no more with what these had seen, ``@1500_images``), and with all that belongs to them into the table
    ``final_metrics``; likelihoods of single classes into ``likelihood_by_class``, bounds by their k into ``bounds``; the protocol
    that all values share into the config.

    A server that does not answer any more holds this up for seconds: tables, which would ask it first, then go into a further
    part of the run on this machine. Nothing is lost, and a line says how all is uploaded later.

    Args:
        loggers: of the run.
        folder: the run folder, whose status says by now how the run came out.
        failed: whether it failed.
        console: where to say what is left to upload.
        offline: begins such a part.
    """
    for logger in loggers:
        online = folder.status().get("wandb", {}).get("mode") == "online"
        problem = obstacle(timeout_s=3.0) if online else None
        try:
            try:
                if problem is None:
                    _write_final(logger, folder)
            finally:
                logger.experiment.finish(exit_code=int(failed))
            if problem is not None:
                raise ConnectionError(problem)
        except Exception as error:  # whatever ails W&B, the run itself is done and its record complete
            console.print(f"  W&B: {' '.join(str(problem or error).split())}", highlight=False, soft_wrap=True)
            _write_offline(offline, folder, failed)
            files = f"{folder.path}/wandb/run-*" + f" {folder.path}/wandb/offline-run-*" * _has_offline(folder)
            console.print(f"  Later: wandb sync --include-online {files}", highlight=False, soft_wrap=True)
            continue
        entry = folder.status().get("wandb", {})
        if entry.get("mode") == "offline":
            swept = entry["group"] == folder.path.parent.name
            place = folder.path.parent / "*" if swept else folder.path
            line = f"  W&B, once there is a server: wandb sync {place}/wandb/offline-run-*"
            console.print(line, highlight=False, soft_wrap=True)


def _write_offline(offline: Callable[[], list[Logger]], folder: RunFolder, failed: bool) -> None:
    """The final values as a further part of the W&B run on this machine; nothing where that fails too, for ``metrics.json`` has
    them."""
    with suppress(Exception):
        for logger in offline():
            try:
                _write_final(logger, folder)
            finally:
                logger.experiment.finish(exit_code=int(failed))


def _has_offline(folder: RunFolder) -> bool:
    return any(path.parent.name.startswith("offline-") for path in parts(folder.path))


def _write_final(logger: Logger, folder: RunFolder) -> None:
    records = folder.metrics()
    summary: dict[str, Any] = {}
    for record in folder.stale():
        summary[_name(record)] = None  # it may be there from before
        summary[f"{_name(record)}@{record['images_seen']}_images"] = record["value"]
    summary |= {_name(record): record["value"] for record in records}
    logger.experiment.summary.update(cost(folder) | summary)
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


def _name(record: Mapping[str, Any]) -> str:
    """Of a value in the summary."""
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


def offline_part(
    settings: Mapping[str, Any] | None, record: Mapping[str, Any], folder: RunFolder, extra: list[str]
) -> Callable[[], list[Logger]]:
    """For :func:`finish`: begins a part of the W&B run of a folder that needs no server; arguments as of
    :func:`make_loggers`."""
    quiet = Console(quiet=True)
    return lambda: make_loggers(settings and {**settings, "mode": "offline"}, record, folder, extra, quiet)


def add_evaluation(
    settings: Mapping[str, Any] | None, record: Mapping[str, Any], folder: RunFolder, extra: list[str], console: Console
) -> None:
    """Bring the W&B run of a run folder up to its ``metrics.json``, if it was logged with W&B; arguments as of
    :func:`make_loggers`."""
    status = folder.status()
    if "wandb" in status:
        loggers = make_loggers(settings, record, folder, extra, console)
        failed = folder.state() != "done"
        finish(loggers, folder, failed, console, offline_part(settings, record, folder, extra))
