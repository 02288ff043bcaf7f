"""What ``genexp sample`` is asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from genexp.record.errors import ConfigError, nearest, shown
from genexp.runs.settings import count, section

HALVES = ("top", "bottom", "left", "right")
"""Of an image, that are kept."""

COMMON = ("seed", "y", "knobs")
USED = {
    "whole draws": ("n", "neighbours", "format", "batch_size"),
    "complete=...": ("n", "complete", "split", "draws"),
    "latent=interpolate": ("latent", "split", "rows", "steps", "interpolation"),
    "latent=traverse": ("latent", "split", "rows", "steps", "extent", "centre"),
    "latent=reconstruct": ("latent", "split", "rows", "draws"),
}
"""Entries that decide what is drawn, by what is drawn, beside the :data:`COMMON` ones."""
LONGEST_NAME = 100
"""Characters of the name of a draw, beyond which a checksum takes the place of the rest."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The entries of ``conf/sample.yaml``, as it explains them."""

    run: str
    checkpoint: str
    n: int
    y: int | list[int] | None
    knobs: dict[str, Any]
    neighbours: int | None
    complete: str | float | None
    split: Literal["train", "validation", "test"]
    draws: int
    latent: Literal["interpolate", "traverse", "reconstruct"] | None
    rows: int
    steps: int
    interpolation: Literal["slerp", "linear"]
    extent: float
    centre: Literal["example", "prior"]
    seed: int
    output: str | None
    format: Literal["npy", "png", "npz", "wav"]
    batch_size: int
    data: dict[str, Any]
    trainer: dict[str, Any]
    allow_targets: list[str]

    def __post_init__(self) -> None:
        count(1, n=self.n, draws=self.draws, rows=self.rows, batch_size=self.batch_size)
        count(2, steps=self.steps)
        if not self.extent > 0:
            raise ValueError(f"extent={self.extent}: must be a number above 0")
        if self.neighbours is not None:
            count(1, neighbours=self.neighbours)
        self._check_part()
        asked = [name for name in ("complete", "latent", "neighbours") if getattr(self, name) is not None]
        if len(asked) > 1:
            both = " ".join(f"{name}={getattr(self, name)}" for name in asked[:2])
            raise ValueError(f"{both}: one of them at a time")
        if asked and self.format != "npy":
            only = f"{asked[0]}={getattr(self, asked[0])} writes arrays and a picture, format=npy"
            raise ValueError(f"format={self.format}: is for whole draws alone; {only}")
        for knob, value in self.knobs.items() if self.latent is not None else ():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError(f"knobs.{knob}={shown(value)}: must be a number of at least 0")

    @property
    def name(self) -> str:
        """How the files of this request are called."""
        parts = [self._what(), self.checkpoint, f"seed{self.seed}"]
        parts += [f"{name}{getattr(self, name)}" for name in self._sizes()]
        if self.y is not None:
            parts.append(f"y{'_'.join(map(str, self.y)) if isinstance(self.y, list) else self.y}")
        parts += [f"{name}{value}" for name, value in sorted(self.knobs.items())]
        name = "-".join([*parts, *([self.format] if self.format != "npy" else [])]).replace("/", "_")
        return (
            name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9]}-{sha256(name.encode()).hexdigest()[:8]}"
        )

    def _what(self) -> str:
        if self.latent is not None:
            way = f"{self.latent}-{self.interpolation}" if self.latent == "interpolate" else self.latent
            return f"{way}-{self.split}"
        if self.complete is not None:
            return f"complete-{self.complete}-{self.split}"
        return "sample" if self.neighbours is None else f"neighbours{self.neighbours}"

    def _sizes(self) -> tuple[str, ...]:
        if self.latent is not None:
            return ("rows", "draws") if self.latent == "reconstruct" else ("rows", "steps")
        return ("n",) if self.complete is None else ("n", "draws")

    @property
    def way(self) -> str:
        """What is drawn: a key of :data:`USED`."""
        if self.latent is not None:
            return f"latent={self.latent}"
        return "whole draws" if self.complete is None else "complete=..."

    def settings(self) -> dict[str, Any]:
        """All that decides what is drawn with some weights."""
        return {name: getattr(self, name) for name in (*COMMON, *USED[self.way])}

    def check_used(self, given: Iterable[str]) -> None:
        """Refuse entries that would have no effect.

        Args:
            given: names of the entries that the user set.

        Raises:
            ConfigError: naming one, and what it is for.
        """
        special = {name for names in USED.values() for name in names}
        for name in given:
            if name in special and name not in USED[self.way]:
                ways = " or ".join(way for way, names in USED.items() if name in names)
                value = shown(getattr(self, name))
                raise ConfigError(f"{name}={value}: has no effect on {self.way}; it is for {ways}")

    def _check_part(self) -> None:
        part = self.complete
        is_fraction = isinstance(part, int | float) and 0 < part < 1
        if part is not None and not is_fraction and part not in HALVES:
            raise ValueError(
                f"complete={part}: must be {', '.join(HALVES)}, or a fraction of the sequence between 0 and 1, e.g. 0.5."
                f"{nearest(str(part), HALVES)}"
            )

    @classmethod
    def of(cls, config: DictConfig) -> "Request":
        """That of a composed config.

        Raises:
            ConfigError: naming the key, the value and the rule.
        """
        return section(cls, OmegaConf.to_container(config, resolve=True), "")
