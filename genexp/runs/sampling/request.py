"""What ``genexp sample`` is asked for."""

from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True, kw_only=True)
class Request:
    """The entries of ``conf/sample.yaml``, as it explains them."""

    checkpoint: str
    n: int
    y: int | list[int] | None
    knobs: dict[str, Any]
    neighbours: int | None
    complete: str | float | None
    split: str
    draws: int
    latent: str | None
    rows: int
    steps: int
    interpolation: str
    extent: float
    centre: str
    seed: int

    @classmethod
    def of(cls, config: DictConfig) -> "Request":
        """That of a composed config."""
        given = OmegaConf.to_container(config, resolve=True)
        return cls(**{entry.name: given[entry.name] for entry in fields(cls)})
