"""The loggers of a run, from its beginning to its end."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from rich.console import Console

from genexp.families.base import GenerativeModule
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.tracking.adapters import Adapter, adapter_of, flat, plain_name
from genexp.tracking.wandb_final import cost, final_name
from genexp.tracking.wandb_logger import WandbRun

RECORDED = ("git", "git_here", "versions", "python", "machine", "command", "started", "data_checksums")
"""Entries of ``status.json`` that the loggers record under ``run``."""


class Tracking:
    """All loggers of a run. Each gets the same: the resolved config without the loggers themselves, the option of every config
    group under ``choices``, the number of ``parameters``, and where and how the run took place under ``run``; the history;
    the pictures; the final values.

    Args:
        sections: the section ``logger`` of the config, resolved: settings by name, or null.
        config: the rest of it.
        folder: of the run, which has begun.
        extra: further modules that the user trusts.
        console: where to write.
    """

    def __init__(
        self,
        sections: Mapping[str, Any] | None,
        config: Mapping[str, Any],
        folder: RunFolder,
        extra: list[str],
        console: Console,
    ) -> None:
        self.folder, self.extra, self.console = folder, extra, console
        status = folder.status()
        about = {key: status[key] for key in RECORDED if key in status}
        self.record = {
            **config,
            "choices": folder.choices(),
            "parameters": status.get("parameters"),
            "run": {**about, "folder": str(folder.path)},
        }
        self.hyperparameters = dict(flat(self.record))
        self.wandb: WandbRun | None = None
        self.others: list[tuple[Adapter, Logger]] = []
        self._sections = {name: settings for name, settings in (sections or {}).items() if settings is not None}

    @property
    def loggers(self) -> list[Logger]:
        """Lightning's."""
        return [*([self.wandb.logger] if self.wandb else []), *(logger for _, logger in self.others)]

    @property
    def callbacks(self) -> list[Callback]:
        """What a training needs for them, behind all others."""
        return self.wandb.callbacks if self.wandb else []

    def begin(self, images: int) -> None:
        """Begin with each, or go on where the run was logged before.

        Args:
            images: that the run continues from; 0 for a new one.

        Raises:
            ConfigError: a logger cannot be made.
        """
        for name, settings in self._sections.items():
            if name == "wandb":
                run = WandbRun(settings, self.record, self.folder, self.extra, self.console)
                run.begin()
                self.wandb = run
            else:
                self.others.append(self._begun(name, settings, images))

    def _begun(self, name: str, settings: Mapping[str, Any], images: int) -> tuple[Adapter, Logger]:
        status = self.folder.status()
        known = status.get("loggers") or {}
        adapter = adapter_of(str(settings["_target_"]))(name, settings, self.folder.path)
        arguments = adapter.arguments(known.get(name) or {}, images)
        try:
            with adapter.alone():
                logger = instantiate(OmegaConf.create({"logger": {name: arguments}}), f"logger.{name}", self.extra)
                entry = adapter.begin(logger, self.hyperparameters, images)
        except ConfigError:
            raise
        except Exception as error:  # of a server that is not there, for one
            raise ConfigError(f"logger.{name}: {' '.join(str(error).split())}") from error
        if entry:
            self.folder.set_status(status.get("state", "running"), loggers={**known, name: entry})
        return adapter, logger

    def watch(self, model: GenerativeModule, every_steps: int) -> None:
        """Log histograms where the settings of W&B want some."""
        if self.wandb:
            self.wandb.watch(model, every_steps)

    def alert(self, title: str, text: str) -> None:
        """Tell whoever is not at the terminal that the run has failed."""
        if self.wandb:
            self.wandb.alert(title, text)

    def finish(self, failed: bool) -> None:
        """Give all of them the final values of ``metrics.json`` and end them. What ails a logger does not ail the run: it is
        told in a line.

        Args:
            failed: whether the run did.
        """
        if self.wandb:
            self.wandb.finish(failed)
        if not self.others:
            return
        state = self.folder.status().get("state", "failed")
        final = {plain_name(final_name(record)): record["value"] for record in self.folder.metrics()}
        spent = cost(self.folder)
        images = int(spent.pop("images", 0))
        for adapter, logger in self.others:
            try:
                adapter.finish(logger, self.hyperparameters, {**final, **spent} if final else {}, images, state)
            except Exception as error:
                text = " ".join(str(error).split())
                self.console.print(f"  logger.{adapter.name}: {text}", highlight=False, soft_wrap=True)


def add_evaluation(
    sections: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    folder: RunFolder,
    extra: list[str],
    console: Console,
) -> None:
    """Bring the W&B run of a run folder up to its ``metrics.json``, if it was logged with W&B; arguments as of
    :class:`Tracking`."""
    if "wandb" in folder.status() and (sections or {}).get("wandb"):
        tracking = Tracking({"wandb": sections["wandb"]}, config, folder, extra, console)
        tracking.begin(0)
        tracking.finish(failed=folder.state() != "done")
