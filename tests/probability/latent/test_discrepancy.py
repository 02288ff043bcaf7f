import itertools

import pytest
import torch

from genexp.probability.latent.discrepancy import inverse_multiquadratic_mmd, rank_sum_z


def test_it_is_the_sum_over_pairs_whatever_is_done_at_once(float64):
    a, b = torch.randn(7, 3), torch.randn(5, 3) + 1

    def kernel(u, v):
        return 6 / (6 + ((u - v) ** 2).sum().item())

    within = [sum(kernel(u[i], u[j]) for i in range(len(u)) for j in range(len(u)) if i != j) for u in (a, b)]
    across = sum(kernel(u, v) for u in a for v in b)
    expected = within[0] / 42 + within[1] / 20 - 2 * across / 35
    for at_once in (1, 3, 100):
        assert inverse_multiquadratic_mmd(a, b, 6.0, at_once) == pytest.approx(expected)


def test_equal_distributions_are_0_in_the_mean_and_shifted_ones_far(float64):
    torch.manual_seed(0)
    equal = torch.tensor([inverse_multiquadratic_mmd(*torch.randn(2, 30, 4), 8.0, 100) for _ in range(400)])
    assert equal.mean().abs() < 4 * equal.std() / 20 and equal.min() < 0
    shifted = inverse_multiquadratic_mmd(torch.randn(30, 4), torch.randn(30, 4) + 2, 8.0, 100)
    assert shifted > 10 * equal.std()


def test_rank_sums_are_standardised_over_all_ways_to_divide_the_draws(float64):
    drawn = torch.tensor([1.0, 2.0, 2.0, 2.0, 3.5, 4.0, 4.0, 9.0])  # with ties, which lessen the variance
    scores = []
    for chosen in itertools.combinations(range(8), 3):
        a, b = drawn[list(chosen)], drawn[[i for i in range(8) if i not in chosen]]
        scores.append(rank_sum_z(a, b))
        u = ((a[:, None] > b).double() + 0.5 * (a[:, None] == b).double()).sum().item()
        assert (scores[-1] > 1e-9) == (u > 7.5) and (scores[-1] < -1e-9) == (u < 7.5)
        assert rank_sum_z(b, a) == pytest.approx(-scores[-1])
    scores = torch.tensor(scores)
    assert scores.mean().item() == pytest.approx(0, abs=1e-9)
    assert scores.var(unbiased=False).item() == pytest.approx(1)


def test_rank_sums_of_separate_and_of_equal_draws():
    low, high = torch.arange(4.0), torch.arange(4.0, 10.0)
    assert rank_sum_z(low, high) == pytest.approx(-12 / (24 * 11 / 12) ** 0.5)  # U = 0 of n m = 24
    assert rank_sum_z(torch.ones(4), torch.ones(6)) == 0
