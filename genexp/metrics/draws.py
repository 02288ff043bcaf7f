"""Keyed random draws for evaluation: the same whatever was drawn before, and nothing disturbed after."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from genexp.probability.randomness import key


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
