"""Random draws keyed by what they are for, so that no draw depends on what was drawn before it.

A training step draws from ``key(seed, "step", step)``, a data order from ``key(seed, "order", epoch)``: a resumed run,
another logger or an extra validation changes nothing.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def key(seed: int, *parts: str | int) -> int:
    """A 63-bit seed that is a function of ``seed`` and ``parts`` alone, the same on every machine."""
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *parts: str | int) -> torch.Generator:
    """A CPU generator seeded with ``key(seed, *parts)``."""
    return torch.Generator().manual_seed(key(seed, *parts))


@contextmanager
def keyed_draws(device: torch.device, seed: int, *parts: str | int) -> Iterator[None]:
    """Inside the block torch draws from ``key(seed, *parts)``; afterwards its generators are as before.

    Args:
        device: where the draws happen; the CPU's generator is always kept too.
        seed: the seed of the evaluation.
        parts: what the draws are for, e.g. ``"bound", 50, 3``.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key(seed, *parts))
        yield
