"""What holds of quantisation for any reals and any number of levels."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genexp.probability.quantize import (
    from_symmetric,
    mu_law_codes,
    mu_law_waveform,
    symmetric,
    symmetric_to_levels,
    unit,
)

LEVELS = st.integers(2, 256)
REALS = st.lists(st.floats(-4, 4), min_size=1, max_size=20)
always = settings(max_examples=50, deadline=None, derandomize=True, database=None)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


@always
@given(LEVELS, REALS)
def test_reals_go_to_the_level_that_is_nearest(levels, reals):
    v = tensor(reals)
    x = from_symmetric(v, levels)
    every = symmetric(torch.arange(levels), levels).double()
    distances = (v.clamp(-1, 1).unsqueeze(1) - every).abs()
    assert x.dtype == torch.uint8 and int(x.max()) < levels
    chosen = distances.gather(1, x.long().unsqueeze(1)).squeeze(1)
    assert (chosen <= distances.min(1).values + 1e-6).all()
    assert ((symmetric_to_levels(v, levels) - x).abs() <= 0.5).all()


@always
@given(LEVELS, st.data())
def test_whatever_lies_in_the_bin_of_a_level_is_that_level(levels, data):
    """Dequantised by less than half a bin, and quantised again."""
    x = torch.tensor(data.draw(st.lists(st.integers(0, levels - 1), min_size=1, max_size=20)), dtype=torch.uint8)
    moved = tensor(data.draw(st.lists(st.floats(-0.999, 0.999), min_size=len(x), max_size=len(x))))
    v = symmetric(x, levels).double() + moved / (levels - 1)
    assert torch.equal(from_symmetric(v, levels), x)
    assert torch.equal((unit(x, levels) * (levels - 1)).round().to(torch.uint8), x)


@always
@given(LEVELS, REALS)
def test_quantisation_keeps_the_order_and_mu_law_its_symmetry(levels, reals):
    v = tensor(reals).sort().values
    codes = mu_law_codes(v, levels)
    assert (from_symmetric(v, levels).int().diff() >= 0).all() and (codes.int().diff() >= 0).all()
    between = v[
        (symmetric_to_levels(companded(v, levels), levels) % 1 - 0.5).abs() > 1e-6
    ]  # not on the border of two codes
    assert torch.equal(mu_law_codes(-between, levels).int(), levels - 1 - mu_law_codes(between, levels).int())


def companded(v, levels):
    v = v.clamp(-1, 1)
    return v.sign() * torch.log1p((levels - 1) * v.abs()) / math.log(levels)


@always
@given(LEVELS, REALS)
def test_a_mu_law_code_is_within_half_a_step_of_the_curve(levels, reals):
    v = tensor(reals)
    codes = mu_law_codes(v, levels)
    back = mu_law_waveform(codes, levels)
    assert torch.equal(mu_law_codes(back, levels), codes)
    assert ((companded(back.double(), levels) - companded(v, levels)).abs() <= 1 / (levels - 1) + 1e-6).all()
