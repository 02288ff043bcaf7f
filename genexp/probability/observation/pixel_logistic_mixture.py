"""The observation model of PixelCNN++ (Salimans, Karpathy, Chen, Kingma, ICLR 2017, section 2.1 and 2.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.probability.observation.base import (
    DiscretizedLogisticMixture,
    Observation,
    bounded_above,
    draw_component,
    logistic_log_mass,
    logistic_noise,
    promoted,
)
from genexp.probability.quantize import from_symmetric, symmetric


class PixelLogisticMixture(Observation):
    """All C channels of a pixel from one mixture of K logistics, integrated over the bins of the levels.

    A pixel has one mixture indicator. Given it, the channels are drawn one after another, each from a discretised logistic
    (see :func:`genexp.probability.observation.base.logistic_log_mass`) whose mean is linear in the channels before it (equation 3),

        mean_g(r) = mean_g + alpha r,    mean_b(r, g) = mean_b + beta r + gamma g,

    with r and g in [-1, 1]. Parameters of a pixel: K logits, then for each component C means, C log scales and C (C - 1) / 2
    coefficients, of channels (1, 0), (2, 0), (2, 1), ..., which pass through tanh as in the authors' code. Other than there,
    any number of channels and levels will do, no mass is approximated, and a sample is rounded to a level before the next
    channel depends on it, so that draws follow :meth:`log_prob` exactly.

    Shapes: params ``(B, P, 1, *rest)``, x ``(B, C, *rest)``, log_prob ``(B, 1, *rest)``: ``rest`` is ``(H, W)``, or empty for a
    single pixel.

    Args:
        levels: number of levels L, at least 2.
        channels: channels C of a pixel, at least 1.
        components: number of logistics K, at least 1.
        max_log_scale: see :func:`genexp.probability.observation.base.bounded_above`.

    Raises:
        ValueError: the data have no levels, or an argument is out of range.
    """

    def __init__(self, levels: int | None, channels: int, components: int, max_log_scale: float | None = None) -> None:
        DiscretizedLogisticMixture(levels, components, max_log_scale)  # which asks the same of them
        self.levels, self.group, self.components = levels, channels, components
        self.max_log_scale = max_log_scale
        self.num_params = components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits ``(B, K, *rest)``, means and log scales ``(B, K, C, *rest)``, coefficients ``(B, K, C (C - 1) / 2, *rest)``."""
        k, c = self.components, self.group
        logits, parts = params[:, :k, 0], params[:, k:, 0].unflatten(1, (k, -1))
        log_scales = bounded_above(parts[:, :, c : 2 * c], self.max_log_scale)
        return logits, parts[:, :, :c], log_scales, torch.tanh(parts[:, :, 2 * c :])

    def _log_masses(self, params: Tensor, x: Tensor) -> Tensor:
        """Log-masses of x in every component, given the channels before: ``(B, K, C, *rest)``."""
        _, means, log_scales, coefficients = self._split(params)
        v = symmetric(x.unsqueeze(1), self.levels).to(means.dtype).unbind(2)
        given = [_linear(means, coefficients, v, channel) for channel in range(self.group)]
        return logistic_log_mass(x.unsqueeze(1), torch.stack(given, dim=2), log_scales, self.levels)

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        params = promoted(params)
        total = F.log_softmax(params[:, : self.components, 0], dim=1) + self._log_masses(params, x).sum(2)
        return torch.logsumexp(total, dim=1, keepdim=True)

    def conditional(self, params: Tensor, x: Tensor, channel: int) -> Tensor:
        """p(x_channel | x_0, ..., x_(channel - 1)): a mixture whose weights are the responsibilities given these.

        Args:
            params: ``(B, P, 1, *rest)``.
            x: ``(B, C, *rest)``, of which only the channels before ``channel`` matter.
            channel: 0 to C - 1.

        Returns:
            ``(B, 3 K, *rest)``: the parameters of a :class:`genexp.probability.observation.base.DiscretizedLogisticMixture`
            without ``max_log_scale``, which has been seen to.
        """
        params = promoted(params)
        logits, means, log_scales, coefficients = self._split(params)
        logits = F.log_softmax(logits, dim=1) + self._log_masses(params, x)[:, :, :channel].sum(2)
        v = symmetric(x.unsqueeze(1), self.levels).to(means.dtype).unbind(2)
        return torch.cat([logits, _linear(means, coefficients, v, channel), log_scales[:, :, channel]], dim=1)

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        k, c = self.components, self.group
        chosen = draw_component(params[:, :k, 0], temperature).unsqueeze(2)
        parts = params[:, k:, 0].unflatten(1, (k, -1))
        parts = parts.gather(1, chosen.expand(-1, -1, *parts.shape[2:]))
        means, coefficients = parts[:, :, :c], torch.tanh(parts[:, :, 2 * c :])
        noise = temperature * logistic_noise(bounded_above(parts[:, :, c : 2 * c], self.max_log_scale))
        x, v = [], []
        for channel in range(self.group):
            x.append(from_symmetric(_linear(means, coefficients, v, channel) + noise[:, :, channel], self.levels))
            v.append(symmetric(x[-1], self.levels).to(params.dtype))
        return torch.cat(x, dim=1)

    def mean(self, params: Tensor) -> Tensor:
        """The mean of each channel given the means of those before it, rounded to the nearest level (the expectation over
        these would be a sum over all their values): params ``(B, P, 1, *rest)`` -> ``(B, C, *rest)``."""
        single = DiscretizedLogisticMixture(self.levels, self.components)
        x = torch.zeros_like(params[:, : self.group, 0], dtype=torch.uint8)
        for channel in range(self.group):
            x[:, channel] = single.mean(self.conditional(params, x, channel))
        return x


def _linear(means: Tensor, coefficients: Tensor, v: Sequence[Tensor], channel: int) -> Tensor:
    """Means ``(B, K, *rest)`` of a channel given those before it, ``v[b]`` ``(B, 1, *rest)`` in [-1, 1]."""
    mean, first = means[:, :, channel], channel * (channel - 1) // 2
    for before in range(channel):
        mean = mean + coefficients[:, :, first + before] * v[before]
    return mean
