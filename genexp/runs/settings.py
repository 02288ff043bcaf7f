"""Sections of a composed config that genexp reads itself, as objects whose types and ranges are checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from genexp.ranges import positive
from genexp.record.annotations import check_type
from genexp.record.errors import ConfigError, nearest, shown
from genexp.record.signatures import signature

Section = TypeVar("Section")
MAX_NAME = 200
"""Characters of a name; file systems have 255 for a folder, and a sweep adds to it."""
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
WANDB_MODES = ("online", "offline", "disabled")


def section(make: Callable[..., Section], given: Any, key: str) -> Section:
    """A section of a config as an object.

    Args:
        make: its dataclass, whose annotations are the rules, and whose ``__post_init__`` checks ranges.
        given: the section, resolved.
        key: of the section; empty for the whole config.

    Raises:
        ConfigError: it has an entry that would have no effect, lacks one, or a value is wrong: names the full key.
    """
    prefix = f"{key}." if key else ""
    if not isinstance(given, Mapping):
        raise ConfigError(f"{key}={shown(given)}: must be a mapping")
    known = signature(f"{make.__module__}.{make.__qualname__}").parameters
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{prefix}{name}: {key or 'the config'} has no such setting.{nearest(str(name), known)}")
        check_type(known[name], value, f"{prefix}{name}")
    if missing := [name for name, parameter in known.items() if parameter.required and name not in given]:
        raise ConfigError(f"{prefix}{missing[0]} is missing")
    try:
        return make(**given)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from error


@dataclass(frozen=True, kw_only=True)
class Run:
    """The top of the config of ``genexp train``, as ``conf/train.yaml`` explains it."""

    seed: int
    name: str
    group: str | None
    resume: bool
    dry_run: bool
    tags: list[str]
    job_type: str
    trial: dict[str, Any] | None
    allow_targets: list[str]
    published: dict[str, Any] | None
    reproduced: dict[str, Any] | None
    evaluation: dict[str, Any]
    samples: dict[str, Any] | None
    training: dict[str, Any]
    data: dict[str, Any]
    model: dict[str, Any]
    trainer: dict[str, Any]
    logger: dict[str, Any] | None = None
    curves: dict[str, Any] | None = field(default_factory=dict)
    progress: dict[str, Any] | None = field(default_factory=dict)
    callbacks: dict[str, Any] | None = None
    debug: dict[str, Any] | None = None
    metrics: dict[str, Any] | list[str] | None = None
    monitors: dict[str, Any] | list[str] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.group is not None:
            _check_text("group", self.group)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The grids of samples of a run."""

    n: int
    every_images: int | Literal["auto"] | None

    def __post_init__(self) -> None:
        count(1, n=self.n)
        if isinstance(self.every_images, int):
            count(1, every_images=self.every_images)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """When the curves of a run are drawn."""

    every_images: int | None = None

    def __post_init__(self) -> None:
        if self.every_images is not None:
            count(1, every_images=self.every_images)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How often a run says where it is."""

    every_seconds: float = 10

    def __post_init__(self) -> None:
        positive(every_seconds=self.every_seconds)


@dataclass(frozen=True, kw_only=True)
class Debug:
    """What makes a run a debug run, as ``conf/debug`` explains it."""

    kind: str
    train_batches: int | None = None
    validation_batches: int | None = None
    overfit_batches: int | None = None
    evaluate: bool = False

    def __post_init__(self) -> None:
        for name in ("train_batches", "validation_batches", "overfit_batches"):
            if getattr(self, name) is not None:
                count(1, **{name: getattr(self, name)})


OPTIONAL = {"samples": Samples, "curves": Curves, "progress": Progress}
"""Sections that are null where what they set is switched off."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a run is judged on."""

    split: Literal["train", "validation", "test"]
    monitor_every_images: int

    def __post_init__(self) -> None:
        count(1, monitor_every_images=self.monitor_every_images)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """The config of ``genexp evaluate``, as ``conf/evaluate.yaml`` explains it."""

    run: str | list[str]
    checkpoint: str
    split: Literal["train", "validation", "test"]
    seed: int
    wandb: bool
    data: dict[str, Any]
    trainer: dict[str, str | None]
    allow_targets: list[str]
    metrics: dict[str, Any] | list[str] | None = None

    def __post_init__(self) -> None:
        if not all(run.strip() for run in self.runs) or not self.runs:
            raise ValueError(f"run={shown(self.run)}: must be a run folder, or a list of them")

    @property
    def runs(self) -> list[str]:
        """The folders, one or several."""
        return [self.run] if isinstance(self.run, str) else self.run


@dataclass(frozen=True, kw_only=True)
class Where:
    """The section ``data`` of verbs that take up a run: where its data are, if they are not where the run had them."""

    root: str | None


def count(least: int, **values: int) -> None:
    """Refuse numbers below ``least`` of something that is counted.

    Raises:
        ValueError: naming the first, and the rule.
    """
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name}={value}: must be a whole number of at least {least}")


def check_name(name: str) -> None:
    """Refuse a name that is not that of one folder directly under ``outputs/``.

    Raises:
        ConfigError: naming it and the rule.
    """
    _check_text("name", name)
    if "/" in name or name in (".", ".."):
        raise ConfigError(f"name={shown(name)}: must be the name of one folder in outputs/, without /")


def _check_text(key: str, text: str) -> None:
    if not text.strip():
        raise ConfigError(f"{key} must not be empty; is a variable of the shell not set?")
    if len(text.encode(errors="replace")) > MAX_NAME:
        raise ConfigError(
            f"{key}={shown(text)}: must be at most {MAX_NAME} bytes long, and is {len(text.encode(errors='replace'))}"
        )
    if not text.isprintable():
        raise ConfigError(f"{key}={shown(text)}: must not hold control characters")
    if text.startswith("-"):
        raise ConfigError(f"{key}={shown(text)}: must not begin with -, like an option")
