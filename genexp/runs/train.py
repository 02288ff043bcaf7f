"""Train: from a composed config to a run folder with checkpoints, metrics and samples."""

import os
import shlex
import sys
import time
import traceback
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

from genexp.callbacks.pruning import Pruned
from genexp.callbacks.stop import Interrupted, Stop
from genexp.families.base import GenerativeModule
from genexp.networks.autoregressive.base import AutoregressiveNetwork
from genexp.record.errors import SPLITS, ConfigError
from genexp.record.folder import RunFolder
from genexp.record.provenance import now
from genexp.reports.tables import changed_settings, metrics_table, verdict
from genexp.runs import first_stage, initial_weights
from genexp.runs.assemble import Assembled, assemble
from genexp.runs.debug import debug_of, make_way, try_split
from genexp.runs.evaluate import compute, records
from genexp.runs.fit import fit
from genexp.runs.initialise import initialise
from genexp.runs.loading import about_checkpoint, load_model
from genexp.runs.progress_bars import shown
from genexp.runs.resume import check_same, is_evaluated, is_finished, is_over, last_good
from genexp.runs.settings import Debug
from genexp.runs.slurm import is_restarted, requeue
from genexp.runs.train_config import logging_of
from genexp.terminal import bold
from genexp.tracking.loggers import Tracking


def train(
    config: DictConfig,
    folder: RunFolder,
    overrides: list[str],
    choices: dict[str, str],
    console: Console,
) -> None:
    """The verb: check everything, train, evaluate the best checkpoint, report.

    With ``config.resume``, and in a Slurm job that was requeued, a run that the folder holds continues from its last good
    checkpoint; one that is done is left alone.

    Args:
        config: the composed config.
        folder: where the run goes.
        overrides: the overrides it was composed with.
        choices: the option of every config group.
        console: where to write.

    Raises:
        ConfigError: the config is wrong, or the folder is not free; nothing was changed.
        Interrupted: a signal ended the run; a checkpoint was saved.
        Exception: whatever ended the run; ``status.json`` says so.
    """
    if rank_zero_only.rank:  # a further process of a distributed run: the first one keeps the record
        quiet = Console(quiet=True)
        with Stop() as stop:
            run = assemble(config, folder, stop, quiet)
            resumed = last_good(folder, quiet) if folder.debug() is None else None  # which gives way
            if resumed is None:
                first_stage.adopt(config, run.model)
                initialise(run, config.seed)
                initial_weights.adopt(run.training.initial_weights, run.model)
            fit(run, [], stop, resumed)
        return
    with Stop() as stop, folder.lock():
        make_way(folder, console)
        if folder.holds_run():
            state = folder.state()
            if not (config.resume or is_restarted()):
                raise ConfigError(
                    f"name={config.name}: {folder.path} already holds a run ({state}); choose another name, or resume=true"
                )
            stored = RunFolder.existing(folder.path).config()
            check_same(stored, config, str(folder.path))
            if state == "done" and is_finished(folder, stored, config) and is_evaluated(folder, stored, config):
                images = f" ({int(rows[-1]['images']):,} images)" if (rows := folder.rows()) else ""
                console.print(bold(str(folder.path), f" is done{images}"), soft_wrap=True)
                return
        try:
            _train(config, folder, overrides, choices, console, stop)
        except Interrupted as interrupted:
            requeue(interrupted.signum, stop, console)
            raise


def _train(
    config: DictConfig,
    folder: RunFolder,
    overrides: list[str],
    choices: dict[str, str],
    console: Console,
    stop: Stop,
) -> None:
    run = assemble(config, folder, stop, console)
    before = folder.status()  # none where a damaged one was deleted
    is_begun = folder.holds_run()
    resumed = last_good(folder, console) if is_begun else None
    begin = None
    if resumed is None:
        first_stage.adopt(config, run.model)
        initialise(run, config.seed)
        begin = initial_weights.adopt(run.training.initial_weights, run.model)
    entries: dict[str, Any] = {"initial_weights": begin} if begin is not None else {}
    entries |= {"data_checksums": {split: run.data.fingerprint(split) for split in SPLITS}}
    entries["selection"] = run.monitoring.selection(run.training.monitor)
    entries["cwd"] = os.getcwd()
    entries["parameters"] = sum(p.numel() for p in run.model.parameters())
    debug = debug_of(config)
    if debug is not None:
        entries["debug"] = debug.kind
    if is_begun:
        folder.rows()  # refused while nothing is changed, if they are damaged
        folder.recorded()
        if before:
            _check_data(entries["data_checksums"], before.get("data_checksums") or {}, run.data.name, folder, console)
        images = resumed[1]["images_seen"] if resumed else 0
        again = {"time": now(), "from_images": images, "command": shlex.join(sys.argv)}
        entries |= {name: before[name] for name in ("started", "command") if name in before}
        entries |= {"error": None, "trace": None}
        entries["resumed"] = [*before.get("resumed", []), again]
        where = resumed[0] if resumed else "there is no checkpoint yet"
        line = f"  continues from {images:,} images ({where})"
        if resumed and is_over(resumed[1], run.training):
            line = f"  {folder.path} is done ({images:,} images); it is evaluated ({where})"
        console.print(line, highlight=False, soft_wrap=True)
    folder.begin(config, overrides, choices, **entries)
    failed = True
    minutes = before.get("minutes", 0.0)
    tracking = Tracking(*logging_of(config), folder, list(config.allow_targets), console)
    try:
        tracking.begin(resumed[1]["images_seen"] if resumed else 0)
        tracking.watch(run.model, run.training.log_every_steps)
        run.trainer.callbacks.extend(tracking.callbacks)
        console.print(bold(str(folder.path), f"  {_describe(run.model, run.data)}"), soft_wrap=True)
        if begin is not None:
            console.print(f"  {initial_weights.describe(begin)}", highlight=False, markup=False, soft_wrap=True)
        started = time.monotonic()
        try:
            fit(run, tracking.loggers, stop, resumed)
        finally:
            minutes += (time.monotonic() - started) / 60
            with suppress(OSError):  # of a full disk what ended the training tells
                folder.set_status("running", minutes=round(minutes, 3))
        if (profile := folder.path / "profile.txt").exists() and config.trainer.get("profiler") is not None:
            console.print(f"  profile: {profile}", highlight=False, soft_wrap=True)
        final = finish(config, run, folder, debug, console)
        if debug is None:
            console.print(metrics_table(final, title=f"{folder.path}: {minutes:.1f} min"))
            folder.set_status("done", verdict=judge(config, final, overrides, console))
        else:
            if final:
                console.print(metrics_table(final, title=f"{folder.path}: {minutes:.1f} min"))
            folder.set_status("debug")
            console.print(
                bold(str(folder.path), f" is a debug run (debug={debug.kind}), and no result"), soft_wrap=True
            )
        failed = False
    except Interrupted as interrupted:
        folder.settle("interrupted", error=str(interrupted))
        if debug is not None:
            console.print(f"{interrupted}; a debug run is not continued", highlight=False, soft_wrap=True)
            raise
        trusted = f" allow_targets=[{','.join(config.allow_targets)}]" if config.allow_targets else ""
        again = f"genexp train run={folder.path}{trusted}"
        console.print(f"{interrupted}; to continue: {again}", highlight=False, soft_wrap=True)
        raise
    except Pruned as pruned:
        folder.settle("pruned", reason=pruned.reason)
        console.print(bold(str(folder.path), f" pruned: {pruned.reason}"), soft_wrap=True)
        failed = False
    except Exception as error:
        folder.settle("failed", error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        tracking.alert(f"{type(error).__name__}: {config.name}", f"{folder.path}: {error}")
        raise
    finally:
        tracking.finish(failed)


def _check_data(new: dict[str, str], old: dict[str, str], name: str, folder: RunFolder, console: Console) -> None:
    """Refuse to continue with other training data; what a model is only measured on may change with a word.

    Args:
        new, old: checksums of the splits, now and when the run began.
        name: of the data.
        folder: of the run.
        console: where to write.

    Raises:
        ConfigError: the training data differ.
    """
    changed = [split for split in SPLITS if new[split] != old.get(split)]
    if "train" in changed:
        raise ConfigError(
            f"data={name}: not the data that the run in {folder.path} was trained on: the split train has changed"
        )
    if changed:
        text = f"the {' and '.join(changed)} data changed since the run began: values on them measure something else"
        console.print(f"  {text}", highlight=False, soft_wrap=True)


def finish(
    config: DictConfig, run: Assembled, folder: RunFolder, debug: Debug | None, console: Console
) -> list[dict[str, Any]]:
    """Evaluate the best checkpoint and draw its final samples; a debug run may be tried only, and has no values then."""
    model = load_model(folder, config, "best", list(config.allow_targets)).to(run.trainer.strategy.root_device)
    about = console if config.get("progress", {}) is not None else Console(quiet=True)
    if run.grid is not None:
        with shown(model, about):
            run.grid.draw(run.trainer, model, "final")
            run.grid.draw_traversals(run.trainer, model, "final")
            run.grid.draw_latents(run.trainer, model, "final")
    if debug is not None and not debug.evaluate:
        try_split(model, run.data, config.evaluation.split, about)
        return []
    values = compute(model, run.data, run.metrics, config.evaluation.split, config.seed, about)
    final = records(values, config.seed, about_checkpoint(model, config, folder, "best"))
    folder.add_metrics(final)
    return final


def _describe(model: GenerativeModule, data: Any) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    sizes = "/".join(f"{data.size(split):,}" for split in ("train", "validation", "test"))
    networks = [module for module in model.modules() if isinstance(module, AutoregressiveNetwork)]
    fields = "".join(f"receptive field of {n.receptive_field:,}, " for n in networks if n.receptive_field)
    return f"{type(model).__name__}, {parameters:,} parameters, {fields}{data.name} ({sizes})"


def judge(config: DictConfig, records: list[dict[str, Any]], overrides: list[str], console: Console) -> str | None:
    """Print published against reproduced; the verdict, or None if the config publishes no number or it was not computed."""
    values = [r["value"] for r in records if config.published is not None and r["key"] == config.published.metric]
    if not values:
        return None
    published = OmegaConf.to_container(config.published, resolve=True)
    word, line = verdict(published, values[0], changed_settings(overrides))
    console.print(bold(word, f"  {published['paper']}, {published['table']}: {line}"), soft_wrap=True)
    return word
