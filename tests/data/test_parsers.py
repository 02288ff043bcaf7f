"""Properties of the readers of files: what was written comes back, and whatever else there is is refused by name."""

import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from genexp.data.images import decode, encode, quantise
from genexp.data.mnist import parse_idx
from genexp.data.npz import read_npz
from genexp.data.tar_index import ShardIndex, scan

quick = settings(max_examples=40, deadline=None, database=None)
shapes = arrays.array_shapes(max_dims=3, max_side=5, min_side=0)


@quick
@given(arrays.arrays(np.uint8, shapes))
def test_an_idx_file_gives_its_array_back(array):
    content = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    assert np.array_equal(parse_idx(content), array)
    for wrong in (content + b"x", content[:-1], content[:3]):
        with pytest.raises(ValueError, match=r"^a-file "):
            parse_idx(wrong, "a-file")


@quick
@given(array=arrays.arrays(arrays.scalar_dtypes(), shapes), transposed=st.booleans())
def test_an_archive_gives_numbers_back(tmp_path_factory, array, transposed):
    path = tmp_path_factory.getbasetemp() / "property.npz"
    array = array.T if transposed else array
    np.savez(path, x=array)
    if array.dtype.kind in "biufc":
        found = read_npz(path, "x")
        assert found.dtype == array.dtype and found.shape == array.shape and found.tobytes() == array.tobytes()
    else:
        with pytest.raises(ValueError, match=rf"^{path} [^\n]*not numbers$"):
            read_npz(path, "x")


@quick
@given(st.binary(max_size=3000))
def test_bytes_are_no_shard(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "property.tar"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path} is not a shard[^\n]*$"):
        scan(path, "label")


@quick
@given(st.data(), st.integers(2, 256))
def test_levels_survive_an_image(data, levels):
    shape = (data.draw(st.sampled_from((1, 3))), data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    x = torch.from_numpy(data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, levels - 1))))
    assert torch.equal(quantise(decode(encode(x, levels), shape), levels), x)


@quick
@given(st.integers(2, 256))
def test_quantised_values_keep_their_order_and_fill_the_levels(levels):
    x = quantise(torch.arange(256, dtype=torch.uint8), levels).int()
    assert (x.diff() >= 0).all() and x.unique().tolist() == list(range(levels))


@quick
@given(arrays.arrays(np.int64, st.tuples(st.integers(1, 4), st.just(3))), st.integers(0, 10**6))
def test_an_index_of_arbitrary_numbers_fits_no_file_that_it_would_leave(rows, size):
    if ShardIndex(rows, {}).fits(size):
        assert (rows[:, 0] + rows[:, 1] <= size).all() and rows[:, :2].min() >= 0
