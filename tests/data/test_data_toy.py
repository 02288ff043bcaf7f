"""The toy densities integrate to one, and their samples follow them (quadrature, float64)."""

from importlib.resources import files as package_files

import pytest
import torch

from genexp.data.toy import Checkerboard, Mixture
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


def test_data_do_not_depend_on_the_seed_of_the_run(make_data):
    prints = {make_data("toy", f"seed={seed}").fingerprint("train") for seed in (0, 1)}
    assert len(prints) == 1
    assert make_data("toy", "data.data_seed=1").fingerprint("train") not in prints


def test_impossible_parameters_are_refused(make_data):
    with pytest.raises(ValueError, match=r"side=3: must be even"):
        Checkerboard(side=3, width=1.0)
    with pytest.raises(Exception, match=r"data\.density\.sigma=-1: must be above 0"):
        make_data("toy", "data/density=ring", "data.density.sigma=-1")
