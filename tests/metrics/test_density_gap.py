"""The gap to the density that the data come from."""

import torch
from stand_ins import Tensors, Uniform

from genexp.metrics.density_gap import DensityGap


class Known:
    """Density 2 on [0, 1/2], in float64."""

    def log_prob(self, x):
        assert x.dtype == torch.float64
        return torch.full((len(x),), 2.0, dtype=torch.float64).log()


def test_the_gap_is_the_mean_difference_of_logarithms_on_the_same_draws():
    data = Tensors(None, test=torch.rand(10, 1) / 2)
    model = Uniform((1,), 2)
    assert "needs data whose density is known" in DensityGap().refusal(model, data)
    data.density = Known()
    assert DensityGap().refusal(model, data) is None
    (value,) = DensityGap().compute(model, data, "test", 0)
    uniform = model.log_prob(data.tensors("test")[0]).double()
    torch.testing.assert_close(torch.tensor(value.value), (torch.log(torch.tensor(2.0)) - uniform.mean()).float())
    assert (
        value.key == "test/nll_gap_nats" and value.kind == "exact" and value.direction == "min" and value.stderr < 1e-6
    )
