"""Training that begins with the weights of another run: ``training.initial_weights``. Only :func:`adopt` imports PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from genexp.record.checksum import recorded_digest
from genexp.record.errors import ConfigError, nearest, shown
from genexp.record.folder import RunFolder

if TYPE_CHECKING:  # heavy, and the command line has yet to be checked
    from torch import Tensor, nn

KEY = "training.initial_weights"


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """Where a training begins.

    Attributes:
        run: a run folder.
        checkpoint: ``best`` or ``last``, or another one there.
        parts: ``all`` tensors, which must be the same in both models; those ``matching`` in name and shape; or those below these
            names, e.g. ``[encoder]``.
    """

    run: str
    checkpoint: str = "best"
    parts: Literal["all", "matching"] | list[str] = field(default="all")

    def path(self) -> str:
        """Of the checkpoint.

        Raises:
            ConfigError: there is no such run, or it has no such checkpoint.
        """
        try:
            folder = RunFolder.existing(self.run)
        except ConfigError as error:
            raise ConfigError(f"{KEY}: {error}") from error
        path = folder.checkpoints / f"{self.checkpoint}.ckpt"
        if not path.is_file():
            there = [p.stem for p in sorted(folder.checkpoints.glob("*.ckpt"))]
            raise ConfigError(
                f"{KEY}.checkpoint={shown(self.checkpoint)}: {self.run} has {', '.join(there) or 'none'}."
                f"{nearest(self.checkpoint, there)}"
            )
        return str(path)


def initial_weights(given: Any) -> InitialWeights | None:
    """The setting of that name: null, a run folder, or a mapping.

    Raises:
        ConfigError: it is none of these, or an entry of it is wrong.
    """
    from genexp.runs.settings import section

    if given is None:
        return None
    if isinstance(given, str):
        given = {"run": given}
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(
            f"{KEY}={shown(given)}: must be a run folder, or {{run: ..., checkpoint: best, parts: all}}, or null"
        )
    found = section(InitialWeights, given, KEY)
    if not found.run.strip():
        raise ConfigError(f"{KEY}: the run must not be empty; is a variable of the shell not set?")
    if not found.parts:
        raise ConfigError(f"{KEY}.parts=[]: must be all, matching, or names of parts, e.g. [encoder]")
    return found


def adopt(given: Any, model: "nn.Module") -> dict[str, Any] | None:
    """Copy weights into the model of a run that begins: of a run with an average of its weights, the average.

    Args:
        given: the setting.
        model: changed.

    Returns:
        What the record of the run says of it: where they are from, the SHA-256 of the checkpoint, the training images that they
        have seen, and how many of the model's tensors they are; None if the setting is null.

    Raises:
        ConfigError: they do not fit; names the first tensor that does not.
        CorruptCheckpoint: the checkpoint is damaged.
    """
    from genexp.record import checkpoint as checkpoints

    wanted = initial_weights(given)
    if wanted is None:
        return None
    path = wanted.path()
    state = checkpoints.load(path)
    theirs, own = state.get("ema", state["state_dict"]), model.state_dict()
    taken = _chosen(wanted, theirs, own)
    for name in taken:
        own[name].copy_(theirs[name])
    return {
        "run": wanted.run,
        "checkpoint": wanted.checkpoint,
        "sha256": recorded_digest(path),
        "images_seen": state["images_seen"],
        "tensors": len(taken),
        "of": len(own),
    }


def _chosen(wanted: InitialWeights, theirs: Mapping[str, "Tensor"], own: Mapping[str, "Tensor"]) -> list[str]:
    """Names of the tensors that are taken."""
    if wanted.parts == "matching":
        taken = [name for name in own if name in theirs and theirs[name].shape == own[name].shape]
        if not taken:
            raise ConfigError(
                f"{KEY}.parts=matching: no tensor of {wanted.run} has the name and shape of one of this model"
            )
        return taken
    names = list(own)
    if wanted.parts != "all":
        names = [name for name in own if any(f"{name}.".startswith(f"{part}.") for part in wanted.parts)]
        for part in wanted.parts:
            if not any(f"{name}.".startswith(f"{part}.") for name in own):
                words = [name.split(".") for name in own]
                known = list(dict.fromkeys(".".join(w[:i]) for w in words for i in range(1, len(w))))
                raise ConfigError(f"{KEY}.parts: the model has no part {part}.{nearest(part, known)}")
    else:
        names += [name for name in theirs if name not in own]
    wrong = [name for name in names if name not in own or name not in theirs or own[name].shape != theirs[name].shape]
    if wrong:
        more = f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        there, here = (str(list(s[wrong[0]].shape)) if wrong[0] in s else "nothing" for s in (theirs, own))
        raise ConfigError(
            f"{KEY}: {wrong[0]} is {there} in {wanted.run} and {here} in this model{more}; {{run: {wanted.run}, parts: matching}} "
            "takes what fits"
        )
    return names


def describe(record: Mapping[str, Any]) -> str:
    """A line on what :func:`adopt` did."""
    return (
        f"starts from {record['run']} ({record['checkpoint']}, {record['images_seen']:,} images seen): {record['tensors']} of the "
        f"model's {record['of']} tensors"
    )
