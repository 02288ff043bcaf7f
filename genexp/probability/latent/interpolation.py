"""Paths between two points of a latent space."""

from collections.abc import Callable

import torch
from torch import Tensor

Interpolation = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Called with both ends and the places between them, see :func:`linear`."""


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The straight line (1 - t) a + t b.

    Args:
        a, b: ends ``(..., D)``.
        t: places ``(S,)``, 0 at ``a`` and 1 at ``b``.

    Returns:
        ``(..., S, D)``; exactly ``a`` where t is 0 and ``b`` where it is 1.
    """
    t = t.to(a)[:, None]
    return (1 - t) * a.unsqueeze(-2) + t * b.unsqueeze(-2)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The arc (sin((1 - t) w) a + sin(t w) b) / sin(w), where w is the angle between a and b (Shoemake 1985, section 3.3).

    Between points of one sphere it stays on that sphere, and near the typical norm of a Gaussian where both ends have it
    (White 2016); a straight line passes through norms that a Gaussian of many dimensions almost never has. Where no one arc is
    shortest (opposite directions), or an end has no direction (0), the path is straight, and for equal directions both agree.

    Args, returns: as of :func:`linear`.
    """
    unit_a, unit_b = (torch.nn.functional.normalize(end, dim=-1) for end in (a, b))
    apart, together = (torch.linalg.vector_norm(v, dim=-1) for v in (unit_a - unit_b, unit_a + unit_b))
    angle = 2 * torch.atan2(apart, together)[..., None, None]  # as exact for small angles as for large ones
    sine = angle.sin()
    has_directions = (unit_a.any(-1) & unit_b.any(-1))[..., None, None]
    is_arc = has_directions & (angle > 0) & (sine > torch.finfo(a.dtype).eps ** 0.5 * angle)
    t = t.to(a)[:, None]
    sine = torch.where(is_arc, sine, 1)
    arc = ((1 - t) * angle).sin() / sine * a.unsqueeze(-2) + (t * angle).sin() / sine * b.unsqueeze(-2)
    return torch.where(is_arc, arc, linear(a, b, t[:, 0]))
