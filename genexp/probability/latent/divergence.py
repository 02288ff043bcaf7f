"""Divergences in closed form."""

from torch import Tensor


def normal_kl(mean: Tensor, log_std: Tensor, prior_mean: Tensor | float, prior_log_std: Tensor) -> Tensor:
    """KL(N(mean, exp(log_std)^2) || N(prior_mean, exp(prior_log_std)^2)) in nats, element by element, shapes broadcast."""
    ratio = log_std - prior_log_std
    distance = (mean - prior_mean) * (-prior_log_std).exp()
    return 0.5 * (distance**2 + (2 * ratio).exp() - 1) - ratio


def standard_normal_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, exp(log_std)^2) || N(0, 1)) in nats, element by element (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std)
