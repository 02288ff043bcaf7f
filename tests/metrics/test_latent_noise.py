"""Whether data become noise."""

import pytest
import torch
from composing import compose_train
from stand_ins import Tensors, Uniform

from genexp.metrics.latent_noise import LatentNoise, ks_statistics
from genexp.record.instantiate import instantiate


def test_the_statistic_by_hand_and_by_scipy():
    from scipy.stats import kstest

    u = torch.tensor([[0.5, 0.1], [0.5, 0.9], [0.5, 0.2], [0.5, 0.7]], dtype=torch.float64)
    assert ks_statistics(u).tolist() == pytest.approx([0.5, 0.3])
    u = torch.rand(100, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) ** 1.2
    assert ks_statistics(u).tolist() == pytest.approx([kstest(column.numpy(), "uniform").statistic for column in u.T])


def test_it_is_small_where_the_model_is_right_and_large_where_it_is_not():
    torch.manual_seed(0)
    model = instantiate(compose_train("model=gaussian", "data=toy"), "model", [])
    found = {}
    for name, x in {"right": torch.randn(2_000, 2), "wrong": torch.rand(2_000, 2) ** 4}.items():
        model.initialise(x, None)
        values = LatentNoise(limit=None).compute(model, Tensors(None, test=x), "test", 0)
        assert [value.key for value in values] == ["test/latent_ks", "test/latent_ks_largest"]
        found[name] = values[0].value
    assert found["right"] < 0.03 and found["wrong"] > 0.1
    assert "needs LatentImage" in LatentNoise(limit=None).refusal(Uniform((1,), 2), Tensors(2, test=x))
