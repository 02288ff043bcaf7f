import math

import pytest
import torch

from genexp.probability.quantize import bits_per_dim, from_symmetric, symmetric, unit


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_value_of_every_number_of_levels_survives_the_round_trip(dtype):
    for levels in range(2, 257):
        x = torch.arange(levels).to(torch.uint8)
        v = symmetric(x, levels)
        back = from_symmetric(v.to(dtype), levels)
        assert back.dtype == torch.uint8 and torch.equal(back, x)
        assert v[0] == -1 and v[-1] == 1 and unit(x, levels)[0] == 0 and unit(x, levels)[-1] == 1


def test_reals_go_to_the_nearest_level_and_are_clamped():
    assert from_symmetric(torch.tensor([-9.0, -0.51, -0.49, 0.3, 9.0]), 5).tolist() == [0, 1, 1, 3, 4]
    assert from_symmetric(torch.tensor([-0.01, 0.01]), 2).tolist() == [0, 1]


def test_continuous_data_pass_unchanged():
    x = torch.randn(3)
    assert unit(x, None) is x and symmetric(x, None) is x and from_symmetric(x, None) is x


def test_bits_per_dim():
    assert bits_per_dim(784 * math.log(256), 784) == pytest.approx(8)
    assert torch.allclose(bits_per_dim(torch.tensor([math.log(2), 0.0]), 2), torch.tensor([0.5, 0.0]))
