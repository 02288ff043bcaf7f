import math

import pytest
import torch

from genexp.probability.quantize import (
    bits_per_dim,
    from_symmetric,
    mu_law_codes,
    mu_law_waveform,
    symmetric,
    unit,
)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_mu_law_code_survives_the_round_trip(dtype):
    for levels in range(2, 257):
        codes = torch.arange(levels).to(torch.uint8)
        waveform = mu_law_waveform(codes, levels)
        back = mu_law_codes(waveform.to(dtype), levels)
        assert back.dtype == torch.uint8 and torch.equal(back, codes)
        assert (waveform.diff() > 0).all()
        assert torch.allclose(waveform, -waveform.flip(0), atol=1e-6)
        assert torch.allclose(waveform[[0, -1]], torch.tensor([-1.0, 1.0]))


def test_mu_law_codes_are_monotone_clamped_and_finest_near_silence():
    waveform = torch.linspace(-1.2, 1.2, 20_001, dtype=torch.float64)
    codes = mu_law_codes(waveform, 256)
    assert (codes.int().diff() >= 0).all() and codes[0] == 0 and codes[-1] == 255
    assert torch.equal(codes.unique(), torch.arange(256).to(torch.uint8))
    assert mu_law_codes(torch.zeros(2), 256).tolist() == [128, 128]
    assert mu_law_codes(torch.tensor([-1.0, 0.0, 1.0]), 5).tolist() == [0, 2, 4]
    errors = (mu_law_waveform(codes, 256) - waveform.clamp(-1, 1)).abs()
    assert errors[waveform.abs() < 0.01].max() < 0.0003 < 0.01 < errors.max() < 0.022


def test_mu_law_is_the_published_curve():
    v = torch.tensor([0.01, 0.1, 0.5], dtype=torch.float64)
    companded = torch.log(1 + 255 * v) / math.log(256)
    assert mu_law_codes(v, 256).tolist() == ((companded + 1) / 2 * 255).round().tolist()
    assert mu_law_codes(-v, 256).tolist() == ((1 - companded) / 2 * 255).round().tolist()
