"""Observation models p(x | parameters): how the outputs of a network become a distribution over the data space.

Parameters have the shape ``(B, P, *shape)`` for data ``(B, *shape)``: axis 1 holds the ``num_params`` parameters of one
dimension, and given them the dimensions are independent. The same object serves a decoder, where ``shape`` is a whole
image, and one step of an autoregressive sampler, where ``shape`` is empty.
"""

from abc import ABC, abstractmethod
from math import log, pi

import torch
from torch import Tensor
from torch.nn import functional as F

from genexp.probability.observation.logistic_mean import logistic_level_mean
from genexp.probability.quantize import from_symmetric, symmetric
from genexp.ranges import at_least, inside


class Observation(ABC):
    """A distribution over each dimension of the data space."""

    num_params: int
    """Parameters per dimension, P."""
    group: int = 1
    """How many channels of a pixel are observed together: their number C where the parameters ``(B, P, 1, H, W)`` are those of
    a pixel; 1 where every dimension has its own."""

    @abstractmethod
    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        """log p(x | params) in nats per dimension: params ``(B, P, *shape)``, x ``(B, *shape)`` -> ``(B, *shape)``."""

    @abstractmethod
    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw x ``(B, *shape)`` in the data space given params ``(B, P, *shape)``.

        ``temperature`` in (0, inf) divides the logits (or multiplies the scales): below 1 is less random."""

    @abstractmethod
    def mean(self, params: Tensor) -> Tensor:
        """E[x | params], rounded to the nearest level: params ``(B, P, *shape)`` -> ``(B, *shape)`` in the data space."""

    def decode(self, params: Tensor, temperature: float) -> Tensor:
        """As decoders show x: :meth:`sample` at a temperature, :meth:`mean` at temperature 0."""
        return self.sample(params, temperature) if temperature else self.mean(params)

    def expectation(self, params: Tensor) -> Tensor:
        """E[x | params] as it is, or :meth:`mean` where that is all that is known: params ``(B, P, *shape)`` -> ``(B, *shape)``,
        real or integer, in [0, levels - 1]. For pictures: of binary data, grey."""
        return self.mean(params)


def needs(levels: int | None, needed: int | None, name: str, other: str) -> None:
    """Refuse data of other ``levels`` than ``needed`` by the observation model ``name``, and advise ``other``."""
    if levels != needed:
        raise ValueError(
            f"{name} observes levels={needed}, but the data have levels={levels}: choose model/observation={other}"
        )


def promoted(x: Tensor) -> Tensor:
    """``x`` in float32 if it is of less precision, as networks under autocast give it: the logarithms and differences of
    a density would lose what half precision keeps."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class Bernoulli(Observation):
    """Binary data: one logit per dimension, p(x = 1) = sigmoid(logit)."""

    num_params = 1

    def __init__(self, levels: int | None) -> None:
        needs(levels, 2, "Bernoulli", "normal" if levels is None else "categorical")

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits = promoted(params[:, 0])
        return F.softplus(logits).neg_().addcmul_(x.to(logits.dtype), logits)  # in place: the bounds are made of this

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        return torch.bernoulli(torch.sigmoid(params[:, 0] / temperature)).to(torch.uint8)

    def mean(self, params: Tensor) -> Tensor:
        return (params[:, 0] > 0).to(torch.uint8)

    def expectation(self, params: Tensor) -> Tensor:
        return torch.sigmoid(promoted(params[:, 0]))


class Categorical(Observation):
    """Any distribution over the levels: ``levels`` logits per dimension (van den Oord et al. 2016a, section 3.4)."""

    def __init__(self, levels: int | None) -> None:
        if levels is None:
            needs(levels, 2, "Categorical", "normal")
        self.num_params = levels

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        return F.log_softmax(promoted(params), dim=1).gather(1, x.long().unsqueeze(1)).squeeze(1)

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        probs = F.softmax(params / temperature, dim=1).movedim(1, -1)
        draws = torch.multinomial(probs.reshape(-1, self.num_params), 1)
        return draws.view(probs.shape[:-1]).to(torch.uint8)

    def mean(self, params: Tensor) -> Tensor:
        return self.expectation(params).round().to(torch.uint8)

    def expectation(self, params: Tensor) -> Tensor:
        values = torch.arange(self.num_params, dtype=params.dtype, device=params.device)
        return F.softmax(params, dim=1).movedim(1, -1) @ values


class DiscretizedLogisticMixture(Observation):
    """Mixture of logistics on [-1, 1], integrated over the bin of each level (Salimans et al. 2017, equation 2).

    The levels 0, ..., L - 1 sit at -1, ..., 1; bins are 2 / (L - 1) wide, the outermost reach to infinity, so the
    probabilities of the levels sum to 1. Parameters per dimension: K logits, K means, K log scales, which are
    clamped to [-7, 50], and see :func:`bounded_above`.

    Args:
        levels: number of levels L, at least 2.
        components: number of logistics K, at least 1.
        max_log_scale: see :func:`bounded_above`.

    Raises:
        ValueError: the data have no levels, or an argument is out of range.
    """

    def __init__(self, levels: int | None, components: int, max_log_scale: float | None = None) -> None:
        if levels is None:
            needs(levels, 256, "DiscretizedLogisticMixture", "normal")
        at_least(1, components=components)
        if max_log_scale is not None:
            inside(-7, 50, ends="()", hint=", or null for none", max_log_scale=max_log_scale)
        self.levels, self.max_log_scale = levels, max_log_scale
        self.num_params = 3 * components

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        logits, means, log_scales = promoted(params).chunk(3, dim=1)
        log_scales = bounded_above(log_scales, self.max_log_scale)
        log_mass = logistic_log_mass(x.unsqueeze(1), means, log_scales, self.levels)
        return torch.logsumexp(F.log_softmax(logits, dim=1) + log_mass, dim=1)

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        logits, means, log_scales = params.chunk(3, dim=1)
        chosen = draw_component(logits, temperature)
        mean, log_scale = means.gather(1, chosen).squeeze(1), log_scales.gather(1, chosen).squeeze(1)
        noise = logistic_noise(bounded_above(log_scale, self.max_log_scale))
        return from_symmetric(mean + temperature * noise, self.levels)

    def mean(self, params: Tensor) -> Tensor:
        return self.expectation(params).round().to(torch.uint8)

    def expectation(self, params: Tensor) -> Tensor:
        logits, means, log_scales = promoted(params).chunk(3, dim=1)
        log_scales = bounded_above(log_scales, self.max_log_scale)
        return (F.softmax(logits, dim=1) * logistic_level_mean(means, log_scales, self.levels)).sum(1)


def logistic_log_mass(x: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """Log of the mass that logistics on [-1, 1] put on the bins of levels.

    The mass of a bin from l to u (in scales from the mean) is sigmoid(u) - sigmoid(l), computed without cancellation as
    sigmoid(u) sigmoid(-l) (1 - exp(l - u)); the code of Salimans et al. approximates masses below 1e-5 by the density instead.

    Args:
        x: levels, integers in [0, ``levels``).
        means: of the logistics.
        log_scales: of the logistics, clamped to [-7, 50].
        levels: number of levels, at least 2.

    Returns:
        Nats, of the shape to which ``x``, ``means`` and ``log_scales`` broadcast.
    """
    half = 1 / (levels - 1)
    centred = symmetric(x, levels).to(means.dtype) - means
    precision = torch.exp(-log_scales.clamp(-7, 50))
    below_upper = F.logsigmoid(precision * (centred + half))
    above_lower = F.logsigmoid(precision * (half - centred))
    between = torch.log(-torch.expm1(-2 * half * precision))
    log_mass = torch.where(x == 0, below_upper, below_upper + above_lower + between)
    return torch.where(x == levels - 1, above_lower, log_mass)


def bounded_above(log_scales: Tensor, maximum: float | None) -> Tensor:
    """Log scales below a maximum, smoothly, so that none is without a gradient: maximum - softplus(maximum - log_scales).

    The logistics of Salimans et al. 2017, and of the VAEs that took them over (Vahdat & Kautz 2020; Child 2021), are bounded below
    only. Here they may be bounded above, since a decoder makes logistics of any width of a z that lies between those it has learnt
    from, and a wide one heaps its draws on both ends of the range: pixels black and white at random. A logistic of scale 1 / pi
    has the standard deviation of the uniform distribution on [-1, 1], 1 / sqrt(3): what is less certain than that needs no wider
    one, and a mixture can still say "black or white".

    Args:
        log_scales: of logistics, any shape.
        maximum: None for none, as in the code of these authors.
    """
    return log_scales if maximum is None else maximum - F.softplus(maximum - log_scales)


def draw_component(logits: Tensor, temperature: float) -> Tensor:
    """Indices ``(B, 1, *shape)`` of components drawn with the probabilities softmax(logits / temperature): logits
    ``(B, K, *shape)``."""
    gumbel = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-20, 1 - 1e-7)))
    return (logits / temperature + gumbel).argmax(dim=1, keepdim=True)


def logistic_noise(log_scale: Tensor) -> Tensor:
    """Draws from logistics of mean 0, of the shape of their ``log_scale`` (clamped as in :func:`logistic_log_mass`)."""
    return log_scale.clamp(-7, 50).exp() * torch.logit(torch.rand_like(log_scale).clamp(1e-7, 1 - 1e-7))


class Normal(Observation):
    """Continuous data: mean and log standard deviation per dimension.

    Args:
        levels: must be None.
        min_log_std: the log standard deviation is clamped below at this value, since the density of an unbounded one
            can grow without limit.
    """

    num_params = 2

    def __init__(self, levels: int | None, min_log_std: float) -> None:
        needs(levels, None, "Normal", "categorical")
        self.min_log_std = min_log_std

    def log_prob(self, params: Tensor, x: Tensor) -> Tensor:
        params = promoted(params)
        mean, log_std = params[:, 0], params[:, 1].clamp(min=self.min_log_std)
        return normal_log_prob(x, mean, log_std)

    def sample(self, params: Tensor, temperature: float = 1.0) -> Tensor:
        mean, log_std = params[:, 0], params[:, 1].clamp(min=self.min_log_std)
        return mean + temperature * log_std.exp() * torch.randn_like(mean)

    def mean(self, params: Tensor) -> Tensor:
        return params[:, 0]


def normal_log_prob(x: Tensor, mean: Tensor | float, log_std: Tensor) -> Tensor:
    """log N(x; mean, exp(log_std)^2) in nats, element by element, shapes broadcast."""
    return -0.5 * ((x - mean) * torch.exp(-log_std)) ** 2 - log_std - 0.5 * log(2 * pi)


def by_levels(
    levels: int | None, components: int, min_log_std: float, max_log_scale: float | None = None
) -> Observation:
    """The customary observation model of data with so many levels.

    Args:
        levels: 2 gives :class:`Bernoulli`, up to 32 :class:`Categorical`, more :class:`DiscretizedLogisticMixture` (a softmax
            over 256 levels is wide, and knows nothing of their order), None :class:`Normal`.
        components, max_log_scale: see :class:`DiscretizedLogisticMixture`.
        min_log_std: see :class:`Normal`.
    """
    at_least(1, components=components)
    if levels is None:
        return Normal(levels, min_log_std)
    if levels == 2:
        return Bernoulli(levels)
    return Categorical(levels) if levels <= 32 else DiscretizedLogisticMixture(levels, components, max_log_scale)
