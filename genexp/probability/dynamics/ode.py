"""Ordinary differential equations dx/dt = v(x, t) by fixed steps, so that no example depends on the others of its batch, and what
they do to volumes: along a path d/dt log p(x_t) = -div v(x_t, t) (Chen et al., "Neural ordinary differential equations", 2018,
theorem 1)."""

from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
"""x ``(B, *shape)``, t ``(B,)`` -> dx/dt ``(B, *shape)``."""
State = tuple[Tensor, ...]


def runge_kutta(f: Callable[[State, float], State], state: State, start: float, end: float, steps: int) -> State:
    """The state at ``end`` by the classical method of fourth order, four evaluations a step.

    Args:
        f: the state and the time -> its derivative.
        state: at ``start``.
        start, end: times, in either order.
        steps: of equal length, at least 1.
    """
    h = (end - start) / steps

    def moved(by: State, scale: float) -> State:
        return tuple(a + scale * b for a, b in zip(state, by, strict=True))

    for i in range(steps):
        t = start + i * h
        k1 = f(state, t)
        k2 = f(moved(k1, h / 2), t + h / 2)
        k3 = f(moved(k2, h / 2), t + h / 2)
        k4 = f(moved(k3, h), t + h)
        total = tuple(a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True))
        state = moved(total, h / 6)
    return state


def velocity_and_divergence(
    velocity: Velocity, x: Tensor, t: Tensor, probe: Tensor | None, create_graph: bool
) -> tuple[Tensor, Tensor]:
    """v ``(B, *shape)`` and div v ``(B,)``.

    Args:
        velocity: v.
        x: ``(B, *shape)``.
        t: ``(B,)``.
        probe: None for the exact trace, by one backward pass a dimension; or a draw eps of independent signs, ``(B, *shape)``, for
            Hutchinson's estimate eps^T (dv/dx) eps, drawn once for a path (Grathwohl et al., "FFJORD", 2019).
        create_graph: whether the divergence is to be differentiated.
    """
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        v = velocity(x, t)
        options = {"create_graph": create_graph, "retain_graph": True}
        if probe is not None:
            (product,) = torch.autograd.grad(v, x, probe, **options)
            return v, (product * probe).flatten(1).sum(1)
        divergence = x.new_zeros(len(x))
        columns = v.flatten(1)
        for d in range(columns.shape[1]):
            (row,) = torch.autograd.grad(columns[:, d].sum(), x, **options)
            divergence = divergence + row.flatten(1)[:, d]
    return v, divergence
