import math

import pytest
import torch

from genexp.probability.latent.importance import importance_bound


@pytest.mark.parametrize("at_once", [1, 3, 4, 11, 100])
def test_it_is_the_logarithm_of_the_mean_weight_whatever_the_chunks(float64, at_once):
    weights = (30 * torch.randn(11, 4)).requires_grad_()
    given = []

    def draw(n):
        given.append(n)
        return weights[sum(given[:-1]) : sum(given)]

    value = importance_bound(draw, 11, at_once)
    assert max(given) <= at_once and sum(given) == 11
    assert torch.allclose(value, weights.logsumexp(0) - math.log(11), rtol=1e-12)
    (gradient,) = torch.autograd.grad(value.sum(), weights)
    assert torch.allclose(gradient, weights.softmax(0))


def test_impossible_weights_count_as_nothing():
    """Two draws of weight 0 in a chunk of their own."""
    rows = iter([torch.full((2, 1), -torch.inf), torch.zeros(2, 1)])
    assert torch.allclose(importance_bound(lambda n: next(rows), 4, 2), torch.tensor([-math.log(2)]))


@pytest.mark.parametrize("k", [0, -1])
def test_there_is_at_least_one_draw(k):
    with pytest.raises(ValueError, match=f"k={k}: must be at least 1"):
        importance_bound(lambda n: torch.zeros(n, 1), k, 1)
