"""Run folders and config files that somebody else made to do harm: what of it comes about."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torture.verbs import call, is_refusal

from genexp.terminal import HIDDEN

EFFECTS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "subprocess.Popen", "pickle.find_class"}
EFFECTS |= {
    "socket.connect",
    "urllib.Request",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "shutil.rmtree",
    "os.chmod",
    "os.symlink",
}
EFFECTS |= {"os.mkdir", "os.link", "os.truncate", "sqlite3.connect", "ctypes.dlopen", "webbrowser.open"}
SECONDS = 10.0
"""After which a refusal counts as a hang."""


class Watch:
    """Tells what the code in a block does to this machine, by the interpreter's own audit events."""

    def __init__(self) -> None:
        self.seen: list[str] | None = None
        sys.addaudithook(self._hook)  # for good: an audit hook cannot be taken away

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.seen is None:
            return
        if event == "os.mkdir" and os.path.isdir(arguments[0]):  # Hydra makes sure of the folder that it works in
            return
        if event in EFFECTS:
            self.seen.append(f"{event} {arguments!r:.100}")
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, mode, flags = os.fsdecode(arguments[0]), arguments[1] or "", arguments[2] or 0
            writes = set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes and not path.endswith((".lock", ".pyc")) and "__pycache__" not in path and path != os.devnull:
                self.seen.append(f"open {path} {mode}")

    @contextmanager
    def on(self) -> Iterator[list[str]]:
        """Inside the block effects are added to the list; that a folder of a new run is made for its lock, and removed, is none."""
        self.seen = seen = []
        try:
            yield seen
        finally:
            self.seen = None
            seen[:] = [effect for effect in seen if "/.lock" not in effect and "'outputs/again'" not in effect]


WATCH: list[Watch] = []


def watch() -> Watch:
    """The one of this process."""
    if not WATCH:
        WATCH.append(Watch())
    return WATCH[0]


class Touch:
    """Executed by whoever unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def targets(folder: Path) -> list[dict[str, Any]]:
    """Nodes with a ``_target_`` that would leave ``<folder>/canary`` or do other things, if they were built."""
    canary, pickled, repository = folder / "canary", folder / "evil.pt", folder / "repository"
    if not repository.exists():
        subprocess.run(["git", "init", "-q", repository], check=True)
        (repository / "x.py").write_text("")
        subprocess.run(["git", "-C", repository, "add", "."], check=True)
        subprocess.run(["git", "-C", repository, "config", "core.fsmonitor", f"touch {canary}"], check=True)
        pickled.write_bytes(pickle.dumps(Touch(canary)))
    touch = {"class_path": "os.system", "init_args": {"command": f"touch {canary}"}}
    command = ["touch", str(canary)]
    run = {"_target_": "genexp.record.folder.RunFolder", "path": str(folder / "made")}
    digest = hashlib.sha256(b"x").hexdigest()
    remote = {"folder": "a", "name": "b", "url": "data:,x", "sha256": digest}
    weights = {"checkpoint_path": str(pickled), "weights_only": False}
    named: dict[str, dict[str, Any]] = {
        "os.system": {"command": f"touch {canary}"},
        "os.mkdir": {"path": str(folder / "made")},
        "subprocess.run": {"args": command},
        "subprocess.Popen": {"args": command},
        "shutil.rmtree": {"path": str(folder / "victim")},
        "builtins.exec": {"_args_": [f"open({str(canary)!r}, 'w')"]},
        "builtins.eval": {"_args_": [f"open({str(canary)!r}, 'w')"]},
        "builtins.open": {"file": str(canary), "mode": "w"},
        "pickle.loads": {"_args_": ["x"]},
        "numpy.load": {"file": str(pickled), "allow_pickle": True},
        "torch.load": {"f": str(pickled), "weights_only": False},
        "torch.save": {"obj": 1, "f": str(canary)},
        "torch.hub.load": {"repo_or_dir": str(repository), "model": "x", "source": "local"},
        "torch.nn.init.torch.load": {"f": str(pickled), "weights_only": False},
        "torch.optim.optimizer.torch.save": {"obj": 1, "f": str(canary)},
        "torch.distributions.torch.load": {"f": str(pickled), "weights_only": False},
        "torch.nn.modules.module.Module.load_state_dict": {},
        "torchmetrics.image.fid.FrechetInceptionDistance": {"feature_extractor_weights_path": str(pickled)},
        "torchmetrics.utilities.plot.plt.imsave": {"fname": str(canary), "arr": [[0]]},
        "pytorch_lightning.cli.instantiate_class": {"args": [], "init": touch},
        "pytorch_lightning.trainer.trainer.os.system": {"command": f"touch {canary}"},
        "pytorch_lightning.LightningModule.load_from_checkpoint": weights,
        "pytorch_lightning.core.saving.save_hparams_to_yaml": {"config_yaml": str(canary), "hparams": {}},
        "pytorch_lightning.loggers.CSVLogger": {"save_dir": str(folder / "made")},
        "pytorch_lightning.loggers.MLFlowLogger": {"save_dir": str(folder / "made")},
        "pytorch_lightning.utilities.migration.migrate_checkpoint": {},
        "genexp.load": {"run": str(folder / "made"), "allow_targets": ["os"]},
        "genexp.cli.main": {},
        "genexp.cli.os.system": {"command": f"touch {canary}"},
        "genexp.families.vae.VAE.load_from_checkpoint": weights,
        "genexp.sweeps.launcher.RunningJob": {"command": command, "folder": run, "environment": {}, "label": ""},
        "genexp.runs.from_folder.repeat": {"path": str(folder / "made"), "overrides": [], "console": None},
        "genexp.record.provenance.git_state": {"where": str(repository)},
        "genexp.record.provenance.subprocess.run": {"args": command},
        "genexp.record.provenance.write_atomically": {"path": run, "text": "x"},
        "genexp.record.checkpoint.save": {"checkpoint": {}, "path": str(canary)},
        "genexp.record.folder.RunFolder.set_status": {"self": run, "state": "done"},
        "genexp.record.folder.RunFolder.config_file.fget": {"_args_": [run]},
        "genexp.record.instantiate.use_config_dir": {"folder": str(folder)},
        "genexp.data.files.download": {"file": {"_target_": "genexp.data.files.RemoteFile", **remote}, "folder": run},
        "genexp.data.shard_writer.write_shards": {"data": None, "folder": run, "per_shard": 1},
        "genexp.runs.optuna_trial.connect": {"url": f"sqlite:///{canary}"},
        "genexp.reports.plots.plot": {"paths": [str(folder)], "what": "bounds", "output": str(canary), "console": None},
        "genexp.tracking.wandb_files.subprocess.run": {"args": command},
    }
    return [{"_target_": target, **arguments} for target, arguments in named.items()]


PLACES = ("model", "model.optimizer", "data", "metrics.nll", "trainer", "trainer.callbacks", "callbacks.mine", "logger.wandb")
VERBS: dict[str, tuple[str, ...]] = {
    "load": ("model",),
    "sample": ("model",),
    "evaluate": ("model", "data"),
    "train": PLACES,
    "repeat": PLACES,
}
"""Verbs that take a run folder, and what of its config each may build."""


def hostile_run(run: Path, target: Path, place: str, node: dict[str, Any]) -> Path:
    """A copy of a run whose config names something else in one place, and trusts it."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(run, target)
    for name in ("config.yaml", "resolved.yaml"):
        path = target / ".hydra" / name
        config = OmegaConf.load(path)
        OmegaConf.update(config, place, [node] if place.endswith("callbacks") else node, merge=False, force_add=True)
        OmegaConf.update(config, "allow_targets", [node["_target_"].split(".")[0]], force_add=True)
        OmegaConf.update(config, "training.max_images", 10**6, force_add=True)  # so that there is something left to do
        OmegaConf.save(config, path)
    return target


def try_targets(run: Path, folder: Path, every: int = 1) -> dict[str, Any]:
    """Give run folders with hostile targets to every verb that may build what they name.

    Args:
        run: of a finished training.
        folder: to work in.
        every: try one in so many.

    Returns:
        ``tried``, ``refused`` (in one line), and the ``effects`` seen, as lines.
    """
    folder.mkdir(exist_ok=True)
    (folder / "victim").mkdir(exist_ok=True)
    attempts = [(verb, place, node) for node in targets(folder) for verb in VERBS for place in VERBS[verb]]
    counts: dict[str, Any] = {"tried": 0, "refused": 0, "effects": []}
    for verb, place, node in attempts[::every]:
        evil = hostile_run(run, folder / "evil", place, node)
        with watch().on() as seen:
            refused = _try(verb, str(evil))
        counts["tried"] += 1
        counts["refused"] += refused
        left = [name for name in ("canary", "made") if (folder / name).exists()]
        if seen or left or not refused:
            counts["effects"].append(f"{verb} {place}={node['_target_']}: {seen or left or 'not refused'}")
            for name in left:
                shutil.rmtree(folder / name, ignore_errors=True) if (folder / name).is_dir() else (
                    folder / name
                ).unlink()
    return counts


def _try(verb: str, run: str) -> bool:
    """Whether a verb refuses a run in one line."""
    words = {"load": ["load", run], "repeat": ["repeat", run, "name=again"]}
    code, _, err = call(*words.get(verb, [verb, f"run={run}"]))
    return is_refusal(code, err)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = "[" * 30_000


def try_yaml(run: Path, folder: Path, texts: Sequence[str] = (BOMB, DEEP)) -> dict[str, Any]:
    """YAML that swells or is nested without end, in every file that a verb reads.

    Args:
        run: of a finished training.
        folder: to work in.
        texts: what stands in the files.

    Returns:
        ``tried``, ``refused`` (in one line that names the file, in time), and what was ``amiss``.
    """
    counts: dict[str, Any] = {"tried": 0, "refused": 0, "amiss": []}
    for text in texts:
        own, evil = folder / "own", folder / "evil"
        attempts: list[tuple[Path, list[str]]] = [
            (own / "genexp.yaml", ["train", "--config-dir", str(own)]),
            (own / "model" / "x.yaml", ["train", "--config-dir", str(own), "model=x"]),
            (own / "metrics" / "x.yaml", ["evaluate", "--config-dir", str(own), f"run={run}", "metrics=x"]),
            (own / "experiment" / "x.yaml", ["published", "--config-dir", str(own)]),
        ]
        for verb in (
            ["evaluate", f"run={evil}"],
            ["sample", f"run={evil}"],
            ["train", f"run={evil}"],
            ["repeat", str(evil)],
        ):
            attempts.append((evil / ".hydra" / "config.yaml", verb))
        attempts += [(evil / ".hydra" / f"{name}.yaml", ["compare", str(evil)]) for name in ("resolved", "choices")]
        for path, words in attempts:
            shutil.rmtree(own, ignore_errors=True)
            shutil.rmtree(evil, ignore_errors=True)
            shutil.copytree(run, evil)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            started = time.monotonic()
            code, _, err = call(*words)
            counts["tried"] += 1
            if is_refusal(code, err, [path.name]) and time.monotonic() - started < SECONDS:
                counts["refused"] += 1
            else:
                counts["amiss"].append(f"{' '.join(words)} with {path.name}: exit {code}, {err[-200:]}")
    return counts


NASTY = "\x1b[2J\x1b]0;owned\x07[/red][bold]<script>alert(1)</script>$x_{$"


def try_text(run: Path, folder: Path) -> dict[str, Any]:
    """Hostile text as the name, the tags and the settings of a run, its folder, and the key of a value, shown by every verb.

    Returns:
        ``tried``, and as ``amiss`` what was not shown as it is, or did something to the terminal.
    """
    import json

    counts: dict[str, Any] = {"tried": 0, "amiss": []}
    evil = folder / NASTY.replace("/", "|")
    shutil.rmtree(evil, ignore_errors=True)
    shutil.copytree(run, evil)
    for name in ("config.yaml", "resolved.yaml"):
        config = OmegaConf.load(evil / ".hydra" / name)
        for key, value in {"name": NASTY, "tags": [NASTY], "data.name": NASTY, "group": NASTY}.items():
            OmegaConf.update(config, key, value, force_add=True)
        OmegaConf.save(config, evil / ".hydra" / name)
    status = json.loads((evil / "status.json").read_text())
    (evil / "status.json").write_text(json.dumps(status | {"state": "failed", "error": NASTY, "selection": NASTY}))
    records = json.loads((evil / "metrics.json").read_text())
    for record in records:
        record["protocol"]["data"] = NASTY
    (evil / "metrics.json").write_text(json.dumps(records))
    for words in (
        ["compare", str(evil)],
        ["compare", str(evil), str(run)],
        ["compare", str(evil), "--plot", "bounds"],
        ["evaluate", f"run='{evil}'", "metrics=nll"],
        ["train", f"run={evil}"],
        ["repeat", str(evil)],
        ["sample", f"run='{evil}'", "n=4"],
        ["wandb", "export", str(evil)],
        ["published", "--config-dir", str(evil)],
        ["compare", f"{folder}/{NASTY}"],
        [NASTY],
        ["train", f"{NASTY}=1"],
        ["train", f"model={NASTY}"],
        ["evaluate", f"run={NASTY}"],
    ):
        code, out, err = call(*words)
        counts["tried"] += 1
        if HIDDEN.search((out + err).replace("\r\n", "\n")) or "Traceback" in err:
            counts["amiss"].append(f"{words!r}: exit {code}, {(out + err)[-300:]!r}")
    return counts
