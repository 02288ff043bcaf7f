import pytest
import torch


def test_every_channel_is_a_digit_of_the_same_split(make_data):
    data = make_data("stacked_mnist5k", "data.splits={train: 2000, validation: 300, test: 400}")
    data.prepare_data(), data.setup()
    for split, size in (("train", 2000), ("validation", 300), ("test", 400)):
        x, y = data.tensors(split)
        digits = data.source.tensors(split)[0].flatten(1)
        assert x.shape == (size, 3, 28, 28) and y is None
        found = torch.cdist(x.flatten(0, 1).flatten(1).double(), digits.double())
        assert (found.min(1).values == 0).all()
        first, second, third = found.argmin(1).view(size, 3).T
        assert max((a == b).sum() for a, b in ((first, second), (second, third), (third, first))) < 10
        if split == "train":
            assert len(torch.stack([first, second, third]).unique()) > 0.75 * len(digits)  # 1 - exp(-3/2) = 0.777
    assert data.stacked_digits and data.modes is None


def test_draws_are_those_of_the_data_seed_and_the_levels_those_of_the_digits(make_data):
    small = "data.splits={train: 200, validation: 100, test: 100}"
    prints = {make_data("stacked_mnist5k", small, f"seed={seed}").fingerprint("train") for seed in (0, 1)}
    assert len(prints) == 1
    assert make_data("stacked_mnist5k", small, "data.data_seed=1").fingerprint("train") not in prints
    bits = make_data("stacked_mnist5k", small, "data.levels=2")
    grey = make_data("stacked_mnist5k", small).tensors("test")[0]
    assert torch.equal(bits.tensors("test")[0], (grey >= 128).to(torch.uint8))
    assert len(make_data("stacked_mnist5k", small, "data.limit=70").tensors("train")[0]) == 70
    two = make_data("stacked_mnist5k", small, "data.shape=[2,28,28]")
    assert two.tensors("test")[0].shape == (100, 2, 28, 28)


def test_the_protocol_names_the_digits(make_data):
    protocol = make_data("stacked_mnist5k").protocol("test")
    assert protocol["data"] == "stacked_mnist5k" and protocol["n"] == 5000 and protocol["data_seed"] == 0
    assert protocol["source_data"] == "mnist5k" and protocol["source_n"] == 500 and protocol["source_split"] == "test"


def test_levels_of_data_and_digits_must_agree(make_data):
    with pytest.raises(Exception, match=r"data\.levels=256: must be data\.source\.levels=2"):
        make_data("stacked_mnist5k", "data.source.levels=2")
