import pytest
import torch

from genexp.probability.discrepancy import inverse_multiquadratic_mmd


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
