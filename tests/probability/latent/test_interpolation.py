"""Paths between latent points: known arcs, exact ends, and the places where an arc is not defined."""

import math

import pytest
import torch

from genexp.probability.latent.interpolation import linear, slerp

T = torch.linspace(0, 1, 7, dtype=torch.float64)


@pytest.mark.parametrize("path", [linear, slerp])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_are_exact_and_shapes_are_kept(path, dtype):
    a, b = torch.randn(2, 4, 5, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    found = path(a, b, T)
    assert found.shape == (4, 5, 7, 3) and found.dtype == dtype
    assert torch.equal(found[..., 0, :], a) and torch.equal(found[..., -1, :], b)
    assert torch.allclose(path(b, a, 1 - T), found, atol=1e-6)
    assert torch.equal(path(a[0, 0], b[0, 0], T), found[0, 0])


def test_a_quarter_turn(float64):
    found = slerp(torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), T)
    angle = T * math.pi / 2
    assert torch.allclose(found, torch.stack([angle.cos(), angle.sin(), torch.zeros(7)], 1), atol=1e-15)
    doubled = slerp(torch.tensor([2.0, 0]), torch.tensor([0.0, 1]), torch.tensor([0.5]))
    assert torch.allclose(doubled, torch.tensor([[2.0, 1.0]]) / math.sqrt(2))  # of unequal lengths


def test_it_stays_on_the_sphere_at_even_speed(float64):
    a, b = torch.nn.functional.normalize(torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    found = slerp(3 * a, 3 * b, T)
    assert torch.allclose(found.norm(dim=-1), torch.full((50, 7), 3.0), atol=1e-12)
    cosines = (found[:, 1:] * found[:, :-1]).sum(-1) / 9
    angle = (a * b).sum(-1).acos()[:, None]
    assert torch.allclose(cosines.acos() * 6, angle.expand(50, 6), atol=1e-6)
    assert (linear(3 * a, 3 * b, T)[:, 3].norm(dim=-1) < 2.9).all()


@pytest.mark.parametrize("turn", [1e-3, 1e-6, 1e-9, 1e-15])
def test_near_parallel_directions_lose_no_digits(float64, turn):
    a, b = torch.tensor([1.0, 0]), torch.tensor([math.cos(turn), math.sin(turn)])
    expected = torch.stack([(T * turn).cos(), (T * turn).sin()], 1)
    assert torch.allclose(slerp(a, b, T), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_there_is_no_arc_the_path_is_straight(dtype):
    a = torch.tensor([[1.0, 2, 3], [1, 2, 3], [0, 0, 0], [0, 0, 0], [2, 0, 0]], dtype=dtype)
    b = torch.tensor([[1.0, 2, 3], [-2, -4, -6], [1, 2, 3], [0, 0, 0], [5, 0, 0]], dtype=dtype)
    assert torch.allclose(slerp(a, b, T), linear(a, b, T), atol=1e-6)
    one = torch.tensor([[0.5], [-1.5]], dtype=dtype)  # of one dimension, all directions are equal or opposite
    assert torch.allclose(slerp(one, one.flip(0), T), linear(one, one.flip(0), T))


def test_nearly_opposite_directions_stay_finite(float64):
    for turn in (1e-3, 1e-7, 1e-12):
        b = torch.tensor([-math.cos(turn), math.sin(turn)])
        found = slerp(torch.tensor([1.0, 0]), b, T)
        assert found.isfinite().all() and (found.norm(dim=-1) < 1 + 1e-6).all()
        if turn == 1e-3:
            assert torch.allclose(found.norm(dim=-1), torch.ones(7), atol=1e-9)
