import torch
from torch.distributions import Normal, kl_divergence

from genexp.probability.latent.divergence import normal_kl


def test_normal_kl_is_that_of_the_reference(float64):
    mean, log_std, prior_mean, prior_log_std = torch.randn(4, 5, 3)
    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(prior_mean, prior_log_std.exp()))
    assert torch.allclose(normal_kl(mean, log_std, prior_mean, prior_log_std), expected)
    assert not normal_kl(mean, log_std, mean, log_std).any()
    far = normal_kl(torch.tensor(3.0), torch.tensor(0.0), 0.0, torch.tensor(0.0))
    assert torch.equal(far, torch.tensor(4.5))
