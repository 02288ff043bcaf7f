"""What the loggers of other makers need to take the same as W&B does: the run's folder, pictures, a continuation, an end.

Nothing heavy is imported here: which adapter a logger needs is read from the source of its class, before training.
"""

import ast
import csv
import fcntl
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from genexp.record.signatures import classes, signature
from genexp.record.sources import locate

STORE = "outputs"
"""The folder, of all runs, in which a logger with one store for all of them keeps it by default."""


class Adapter:
    """For any logger of Lightning: its hyper-parameters, its history, its end.

    Args:
        name: of the logger in the config.
        settings: of the logger, as composed.
        folder: of the run.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    """Of which the logger needs one that is not among genexp's own."""
    extra: ClassVar[str] = ""
    """Of genexp, that brings it."""
    is_shared: ClassVar[bool] = False
    """Whether all runs write to one store, which several of them must not make at the same time."""
    places: ClassVar[tuple[str, ...]] = ("save_dir",)
    """Arguments that say where the logger writes, and are null for the usual place."""

    def __init__(self, name: str, settings: Mapping[str, Any], folder: Path) -> None:
        self.name, self.settings, self.folder = name, settings, folder

    def arguments(self, earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        """All that the logger is built with: the settings, and in place of what they leave open, what makes it write in its own
        part of the run's folder.

        Args:
            earlier: what :meth:`begin` returned when the run was logged last; empty of a new run.
            images: that the run continues from.
        """
        given = {k: v for k, v in self.settings.items() if v is not None or k not in self.places}
        return {k: v for k, v in self.usual(given, earlier, images).items() if k not in given} | given

    def usual(self, given: Mapping[str, Any], earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        """What the logger is given where the settings say nothing."""
        found = signature(str(self.settings["_target_"]))
        return {"save_dir": str(self.own_folder)} if found and "save_dir" in found.parameters else {}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the block runs, no other process makes or opens the store of this logger."""
        if not self.is_shared:
            yield
            return
        path = Path(STORE) / f".{self.extra}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def own_folder(self) -> Path:
        """The logger's part of the run's folder."""
        return (self.folder / self.name).absolute()

    def begin(self, logger: Any, record: Mapping[str, Any], images: int) -> dict[str, Any]:
        """Give the logger the hyper-parameters, and the methods of Lightning that it lacks.

        Args:
            logger: just built.
            record: hyper-parameters by dotted name.
            images: that the run continues from; rows beyond that are written again.

        Returns:
            What finds the logger's own record of the run again; kept in ``status.json``.
        """
        logger.log_hyperparams(dict(record))
        return {}

    def finish(
        self, logger: Any, record: Mapping[str, Any], final: Mapping[str, float], images: int, state: str
    ) -> None:
        """Give the logger the final values and end it.

        Args:
            logger: of the run.
            record: hyper-parameters by dotted name.
            final: values by name.
            images: seen at the end.
            state: how the run came out, as in ``status.json``.
        """
        if final:
            logger.log_metrics(dict(final), step=images)
        logger.finalize("success" if state in ("done", "pruned") else "failed")


class InFolders(Adapter):
    """For those that number their folders: by default the run's is the same whenever it is continued."""

    def usual(self, given: Mapping[str, Any], earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        return {**super().usual(given, earlier, images), "name": self._name_in(given), "version": ""}

    def _name_in(self, given: Mapping[str, Any]) -> str:
        """Below a folder that the settings name, which may be that of many runs, each has one of its own."""
        if "save_dir" not in given:
            return ""
        return str(self.folder.relative_to(STORE) if self.folder.is_relative_to(STORE) else self.folder.name)


class Csv(InFolders):
    """For Lightning's CSV, which throws away what an earlier process has written."""

    def usual(self, given: Mapping[str, Any], earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        return {**super().usual(given, earlier, images), "flush_logs_every_n_steps": 1}

    def begin(self, logger: Any, record: Mapping[str, Any], images: int) -> dict[str, Any]:
        path = Path(logger.log_dir) / "metrics.csv"
        rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the folder is not empty
            logger.log_hyperparams(dict(record))
        logger.experiment.metrics = [row for row in rows if int(row["step"]) <= images]
        logger.save()
        return {}


class TensorBoard(InFolders):
    """For TensorBoard, which hides what an earlier process has written beyond the point from which training continues, and
    shows hyper-parameters beside values that are there with them only: so they come at the end."""

    packages = ("tensorboard", "tensorboardX")
    extra = "tensorboard"

    def usual(self, given: Mapping[str, Any], earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        return {**super().usual(given, earlier, images), **({"purge_step": images + 1} if images else {})}

    def begin(self, logger: Any, record: Mapping[str, Any], images: int) -> dict[str, Any]:
        logger.log_hyperparams(dict(record), metrics={})
        logger.save()  # as hparams.yaml
        logger.log_image = partial(_picture_for_tensorboard, logger)
        logger.log_audio = partial(_sounds_for_tensorboard, logger)
        return {}

    def finish(
        self, logger: Any, record: Mapping[str, Any], final: Mapping[str, float], images: int, state: str
    ) -> None:
        if state != "interrupted":  # which will be continued
            logger.log_hyperparams(dict(record), metrics=dict(final) or {"images": images}, step=images)
        super().finish(logger, record, {}, images, state)


def _picture_for_tensorboard(logger: Any, key: str, images: Sequence[str], step: int, caption: Sequence[str]) -> None:
    import numpy as np
    from PIL import Image

    for path in images:
        with Image.open(path) as picture:
            logger.experiment.add_image(key, np.asarray(picture.convert("RGB")), step, dataformats="HWC")


def _sounds_for_tensorboard(logger: Any, key: str, audios: Sequence[str], step: int, caption: Sequence[str]) -> None:
    import torch
    from scipy.io import wavfile

    for i, path in enumerate(audios):
        rate, waveform = wavfile.read(path)
        logger.experiment.add_audio(f"{key}/{i}", torch.from_numpy(waveform / 2**15)[None].float(), step, rate)


class Mlflow(Adapter):
    """For MLflow: the tracking server of the environment, or a data base for all runs. Pictures are artifacts."""

    packages = ("mlflow",)
    extra = "mlflow"
    is_shared = True
    places = ("save_dir", "tracking_uri", "artifact_location")

    def usual(self, given: Mapping[str, Any], earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        own: dict[str, Any] = {"run_id": earlier["run_id"]} if "run_id" in earlier else {}
        if "save_dir" in given or "tracking_uri" in given:
            return own
        if server := os.environ.get("MLFLOW_TRACKING_URI"):
            return {**own, "tracking_uri": server}
        place = Path(STORE).absolute()
        return {**own, "tracking_uri": f"sqlite:///{place}/mlflow.db", "artifact_location": str(place / "mlartifacts")}

    def begin(self, logger: Any, record: Mapping[str, Any], images: int) -> dict[str, Any]:
        run = logger.experiment.get_run(logger.run_id)
        if images:
            logger.experiment.update_run(run.info.run_id, status="RUNNING")
        old = run.data.params
        logger.log_hyperparams({name: value for name, value in record.items() if name not in old})
        for name, value in record.items():
            if name in old and old[name] != str(value)[:250]:  # MLflow's do not change
                logger.experiment.set_tag(run.info.run_id, f"since_{images}_images.{name}", str(value))
        logger.log_image = partial(_files_for_mlflow, logger)
        logger.log_audio = lambda key, audios, step, caption: _files_for_mlflow(logger, key, audios, step, caption)
        return {"run_id": run.info.run_id}

    def finish(
        self, logger: Any, record: Mapping[str, Any], final: Mapping[str, float], images: int, state: str
    ) -> None:
        super().finish(logger, record, final, images, state)
        if state == "interrupted":
            logger.experiment.set_terminated(logger.run_id, "KILLED")


def _files_for_mlflow(logger: Any, key: str, images: Sequence[str], step: int, caption: Sequence[str]) -> None:
    for path in images:
        logger.experiment.log_artifact(logger.run_id, path, key)


class Aim(Adapter):
    """For Aim: a repository for all runs."""

    packages = ("aim",)
    extra = "aim"
    is_shared = True
    places = ("repo",)

    def usual(self, given: Mapping[str, Any], earlier: Mapping[str, Any], images: int) -> dict[str, Any]:
        own = {"run_hash": earlier["run_hash"]} if "run_hash" in earlier else {}
        return {**own, "repo": str(Path(STORE).absolute())}

    def begin(self, logger: Any, record: Mapping[str, Any], images: int) -> dict[str, Any]:
        # Lightning ends the logger after the training, and for the final pictures Aim opens the run again: a lock of its own
        # that nobody holds any more is worth no warning
        logging.getLogger("aim.sdk.lock_manager").setLevel(logging.ERROR)
        run = logger.experiment
        run["hparams"] = dict(record)
        logger.log_image = partial(_picture_for_aim, logger)
        return {"run_hash": run.hash}


def _picture_for_aim(logger: Any, key: str, images: Sequence[str], step: int, caption: Sequence[str]) -> None:
    from aim import Image

    for path, text in zip(images, caption, strict=True):
        logger.experiment.track(Image(str(path), caption=text), name=key, step=step)


ADAPTERS: dict[str, type[Adapter]] = {
    "CSVLogger": Csv,
    "TensorBoardLogger": TensorBoard,
    "MLFlowLogger": Mlflow,
    "AimLogger": Aim,
}
"""By the name of a class; those that inherit from it have the same."""


def adapter_of(target: str) -> type[Adapter]:
    """The adapter of the class that a ``_target_`` names."""
    return next((ADAPTERS[name] for name in lineage(target) if name in ADAPTERS), Adapter)


def lineage(target: str) -> list[str]:
    """The names of a class, also of a package that is not there, and of those that it inherits from, as far as can be read."""
    definition = locate(target)
    is_class = definition is not None and isinstance(definition.node, ast.ClassDef)
    above = [one.node.name for one in classes(definition)[0]] if is_class else []
    return [target.rpartition(".")[2], *above]


def missing(adapter: type[Adapter]) -> bool:
    """Whether the package is missing that its logger needs."""
    return bool(adapter.packages) and all(find_spec(name) is None for name in adapter.packages)


def flat(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a config by dotted name: numbers, switches and texts as they are, what else there is as text."""
    if isinstance(record, Mapping) and record:
        for name, value in record.items():
            yield from flat(value, f"{path}.{name}" if path else str(name))
    else:
        yield path, record if isinstance(record, bool | int | float | str) else str(record)


def plain_name(name: str) -> str:
    """A name with the characters that all loggers take."""
    return re.sub(r"[^\w/.\- ]+", "_", name)
