"""The toy densities integrate to one, and their samples follow them (quadrature, float64)."""

from importlib.resources import files as package_files

import pytest
import torch

from genexp.data.toy import Checkerboard, Mixture, Ring
from genexp.probability.randomness import generator

NAMES = sorted(p.stem for p in (package_files("genexp.conf") / "data" / "density").iterdir())


def quadrature(density):
    """The integral of p and the entropy in nats by the midpoint rule, on a box that holds all the mass."""
    if isinstance(density, Mixture):
        margin, step = 8 * density.sigma, density.sigma / 2
        low, high = density.modes.min(0).values - margin, density.modes.max(0).values + margin
    else:
        high = torch.full((2,), density.side * density.width / 2 + 1, dtype=torch.float64)
        low, step = -high, 0.05
    axes = [torch.arange(a + step / 2, b, step, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    total = entropy = 0.0
    for column in axes[0].split(50):  # a few columns at a time: a mixture of 400 needs 400 numbers a point
        log_p = density.log_prob(torch.cartesian_prod(column, axes[1]))
        p = log_p.exp() * step**2
        total += p.sum().item()
        entropy -= torch.where(p > 0, p * log_p, 0.0).sum().item()
    return total, entropy


@pytest.mark.parametrize("name", NAMES)
def test_density_and_samples_agree(make_data, name):
    data = make_data("toy", f"data/density={name}")
    total, entropy = quadrature(data.density)
    assert total == pytest.approx(1, abs=1e-9)
    x = data.density.sample(20_000, generator(0, name)).double()
    log_p = data.log_prob(x)
    assert torch.isfinite(log_p).all()
    assert abs(-log_p.mean() - entropy) < 4 * log_p.std() / len(x) ** 0.5 + 1e-6
    single = data.log_prob(x.float())
    assert single.dtype == torch.float32 and torch.allclose(single.double(), log_p, atol=1e-3)


def test_the_modes_are_those_of_the_papers(make_data):
    ring = make_data("toy", "data/density=ring").density
    assert ring.modes.shape == (8, 2) and torch.allclose(ring.modes.norm(dim=1), torch.ones(8).double())
    grid = make_data("toy", "data/density=grid").density
    assert sorted(grid.modes[:, 0].unique().tolist()) == [-4, -2, 0, 2, 4] and len(grid.modes) == 25


@pytest.mark.parametrize(("name", "count"), [("ring", 8), ("grid", 25), ("eight_gaussians", 8)])
def test_draws_lie_around_modes_that_are_apart(make_data, name, count):
    modes = make_data("toy", f"data/density={name}").modes
    assert modes.probabilities.tolist() == pytest.approx([1 / count] * count)
    mode, distance = modes.nearest_mode(modes.sample(20_000, generator(0, name)))
    share = mode.bincount(minlength=count) / len(mode)
    assert len(share) == count and (share - 1 / count).abs().max() < 4 * (1 / count / len(mode)) ** 0.5
    within = (distance < 3).double().mean()  # 1 - exp(-9/2) of a Gaussian in the plane
    assert abs(within - 0.98889) < 4 * (0.98889 * 0.01111 / len(mode)) ** 0.5
    means, sigma = modes.modes, modes.sigma
    mode, distance = modes.nearest_mode(means.flip(0) + torch.tensor([0.0, 1.5 * sigma]))
    assert mode.tolist() == list(range(count))[::-1] and distance.tolist() == pytest.approx([1.5] * count)


def test_modes_that_overlap_are_none(make_data):
    assert all(make_data("toy", f"data/density={name}").modes is None for name in ("moons", "spirals", "checkerboard"))
    assert Ring(count=1, radius=1.0, sigma=9.0).separate
    assert Ring(count=2, radius=3.1, sigma=1.0).separate and not Ring(count=2, radius=2.9, sigma=1.0).separate
    assert make_data("digits").modes is None and not make_data("digits").stacked_digits


def test_data_do_not_depend_on_the_seed_of_the_run(make_data):
    prints = {make_data("toy", f"seed={seed}").fingerprint("train") for seed in (0, 1)}
    assert len(prints) == 1
    assert make_data("toy", "data.data_seed=1").fingerprint("train") not in prints


def test_impossible_parameters_are_refused(make_data):
    with pytest.raises(ValueError, match=r"side=3: must be even"):
        Checkerboard(side=3, width=1.0)
    with pytest.raises(Exception, match=r"data\.density\.sigma=-1: must be positive"):
        make_data("toy", "data/density=ring", "data.density.sigma=-1")
