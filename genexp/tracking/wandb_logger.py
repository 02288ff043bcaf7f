"""Weights & Biases, reached through Lightning's logger."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from omegaconf import OmegaConf
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.tracking.wandb_artifacts import CheckpointArtifacts, upload_best, upload_code, upload_record
from genexp.tracking.wandb_files import next_step, parts
from genexp.tracking.wandb_final import write_final
from genexp.tracking.wandb_identity import forget_agent, identity
from genexp.tracking.wandb_server import obstacle

OWN = ("watch", "log_model", "code", "alert")
"""Settings that neither Lightning's logger nor W&B knows by that name, or that genexp acts on itself."""


class WandbRun:
    """The W&B run of a run folder, which keeps its id in ``status.json``: whatever comes later, a resumption or an evaluation,
    online or offline, continues the same W&B run.

    Args:
        settings: ``conf/logger/wandb`` as composed.
        record: what the run is configured with: the config without its loggers, the choices, the number of parameters.
        folder: the run folder; W&B's own files go there.
        extra: further modules that the user trusts.
        console: where to say that logging is offline, and what is left to upload.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
        folder: RunFolder,
        extra: list[str],
        console: Console,
    ) -> None:
        self.settings, self.record, self.folder = settings, record, folder
        self.extra, self.console = extra, console
        self.wanted = {name: settings.get(name) for name in OWN}
        self.logger: Logger | None = None
        self.mode = "disabled"

    def begin(self) -> Logger:
        """Begin the W&B run, or go on in it.

        Raises:
            ConfigError: W&B refuses.
        """
        mode = os.environ.get("WANDB_MODE", self.settings["mode"])
        if mode == "online" and (problem := obstacle()):
            self.console.print(f"  W&B: {problem}; logging offline", highlight=False, soft_wrap=True)
            mode = "offline"
        self.logger = self._begin(mode)
        is_training = self.folder.status().get("state") == "running"  # and no evaluation, maybe of later code
        if self.wanted["code"] and is_training and mode != "disabled":
            upload_code(self.logger, self.extra)
        return self.logger

    def _begin(self, mode: str) -> Logger:
        folder, status = self.folder, self.folder.status()
        settings = {name: value for name, value in self.settings.items() if name not in OWN}
        os.environ["WANDB_SILENT"] = "true"
        os.environ["WANDB_DATA_DIR"] = str((folder.path / "wandb").absolute())  # tables wait for their upload there
        settings["save_dir"] = str(
            folder.path.absolute()
        )  # the process that writes there may have another working folder
        own = identity(settings, status.get("wandb") or {})
        sweep = own.pop("sweep")
        settings |= {**own, "mode": mode}
        # W&B names its folders by the second: another one within the same second would overwrite the first
        while any(
            part.parent.name.endswith(f"{time.strftime('%Y%m%d_%H%M%S')}-{settings['id']}")
            for part in parts(folder.path)
        ):
            time.sleep(0.1)
        step = next_step(folder.path) if mode == "offline" else 0
        logger = instantiate(OmegaConf.create({"logger": {"wandb": settings}}), "logger.wandb", self.extra)
        logger._wandb_init.pop("anonymous", None)  # Lightning always says it, and W&B warns that it is no more
        try:
            logger.log_hyperparams(self.record)  # begins the W&B run
        except Exception as error:
            if not type(error).__module__.startswith("wandb"):
                raise
            text = " ".join(str(error).split())
            raise ConfigError(f"logger.wandb: {text}; logger.wandb.mode=offline logs without the server") from error
        if step:
            logger.experiment.log({}, step=step)  # a server tells the last step of a resumed run; offline nobody does
        logger.experiment.define_metric("images")
        logger.experiment.define_metric("*", step_metric="images")
        self.mode = mode
        if mode != "disabled":
            entry = {name: settings[name] for name in ("id", "project", "entity", "group", "mode")}
            entry |= {"sweep": sweep, "url": logger.experiment.url}
            folder.set_status(status.get("state", "running"), wandb=entry)
        return logger

    @property
    def callbacks(self) -> list[Callback]:
        """What a training needs for the logger, behind all others."""
        if self.wanted["log_model"] != "all" or self.mode == "disabled":
            return []
        return [CheckpointArtifacts(self.logger, self.folder)]

    def watch(self, model: GenerativeModule, every_steps: int) -> None:
        """Log histograms of gradients, parameters or all, where the settings want some."""
        if (what := self.wanted["watch"]) is not None:
            self.logger.watch(model, log=what, log_freq=every_steps, log_graph=False)

    def alert(self, title: str, text: str) -> None:
        """Let W&B tell its user of the end of the run, where the settings want it and the server is there."""
        if self.wanted["alert"] and self.mode == "online":
            with suppress(Exception):  # the run itself tells of its end
                self.logger.experiment.alert(title[:63], text, level="ERROR")

    def finish(self, failed: bool) -> None:
        """Write the final values and end the W&B run: the next job in this process is then a run of its own.

        A server that does not answer any more holds this up for seconds: tables, which would ask it first, then go into a
        further part of the run on this machine. Nothing is lost, and a line says how all is uploaded later.

        Args:
            failed: whether the run did.
        """
        folder, problem = self.folder, None
        try:
            problem = obstacle(timeout_s=3.0) if self.mode == "online" else None
            try:
                if problem is None:
                    self._write(self.logger)
            finally:
                self.logger.experiment.finish(exit_code=int(failed))
            if problem is not None:
                raise ConnectionError(problem)
        except Exception as error:  # whatever ails W&B, the run itself is done and its record complete
            self.console.print(f"  W&B: {' '.join(str(problem or error).split())}", highlight=False, soft_wrap=True)
            self._write_offline(failed)
            files = f"{folder.path}/wandb/run-*" + f" {folder.path}/wandb/offline-run-*" * self._has_offline()
            self.console.print(f"  Later: wandb sync --include-online {files}", highlight=False, soft_wrap=True)
        else:
            if self.mode == "offline":
                swept = self.settings["group"] == folder.path.parent.name
                place = folder.path.parent / "*" if swept else folder.path
                line = f"  W&B, once there is a server: wandb sync {place}/wandb/offline-run-*"
                self.console.print(line, highlight=False, soft_wrap=True)
        finally:
            forget_agent()  # which asked for this run and no other

    def _write(self, logger: Logger) -> None:
        write_final(logger, self.folder)
        if self.wanted["log_model"] and self.mode != "disabled":
            upload_best(logger, self.folder)
            upload_record(logger, self.folder)

    def _write_offline(self, failed: bool) -> None:
        """The final values as a further part of the W&B run on this machine; nothing where that fails too, for
        ``metrics.json`` has them."""
        with suppress(Exception):
            logger = self._begin("offline")
            try:
                self._write(logger)
            finally:
                logger.experiment.finish(exit_code=int(failed))

    def _has_offline(self) -> bool:
        return any(path.parent.name.startswith("offline-") for path in parts(self.folder.path))
