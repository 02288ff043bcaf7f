import pytest
import torch

from genexp.metrics import manifold
from genexp.metrics.manifold import density_and_coverage
from genexp.probability.randomness import generator


def normal(n, dims, seed, shift=0.0):
    return torch.randn(n, dims, generator=generator(seed, "normal"), dtype=torch.float64) + shift


def by_definition(real, fake, k):
    """The sums of Naeem et al. (2020), one pair after another."""
    inside, covered = 0, 0
    for i, x in enumerate(real):
        radius = sorted((x - other).norm().item() for j, other in enumerate(real) if j != i)[k - 1]
        hits = [(x - y).norm().item() < radius for y in fake]
        inside += sum(hits)
        covered += any(hits)
    return inside / (k * len(fake)), covered / len(real)


@pytest.mark.parametrize(("n", "m", "k"), [(30, 30, 5), (12, 40, 1), (40, 7, 3), (6, 5, 5)])
def test_the_values_are_those_of_the_definition_whatever_the_memory(n, m, k, monkeypatch):
    real, fake = normal(n, 3, 0), normal(m, 3, 1, shift=0.8)
    expected = by_definition(real, fake, k)
    assert 0 < expected[0] and 0 < expected[1] <= 1
    for pairs in (1, 100, 10_000):
        monkeypatch.setattr(manifold, "PAIRS_AT_ONCE", pairs)
        assert density_and_coverage(real, fake, k) == pytest.approx(expected, abs=1e-12)


def test_identical_sets_fill_each_ball_with_k_points():
    x = normal(200, 4, 0)
    assert density_and_coverage(x, x, 5) == (1.0, 1.0)


def test_far_samples_are_outside_and_one_mode_covers_its_part():
    real = torch.cat([normal(100, 2, 0), normal(100, 2, 1, shift=100.0)])
    assert density_and_coverage(real, normal(100, 2, 2, shift=-100.0), 5) == (0.0, 0.0)
    _, coverage = density_and_coverage(real, normal(5_000, 2, 3), 5)
    assert 0.45 < coverage <= 0.5


def test_expectations_for_equal_distributions():
    n, m, k = 60, 90, 3
    found = torch.tensor([density_and_coverage(normal(n, 2, s), normal(m, 2, 1000 + s), k) for s in range(400)])
    coverage = 1.0
    for step in range(1, k + 1):
        coverage *= (n - step) / (n + m - step)
    stderr = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - torch.tensor([1.0, 1 - coverage])).abs() < 4 * stderr).all()
