"""Penalties on the discriminator's gradient in its input.

Each is ``weight * E[max(0, |grad D| - target)^2]``, or without the maximum, at points of its own choice. They are computed in
the precision of the parameters, also where the rest is in 16 bits: squares of gradients underflow there.

Where what the discriminator sees is augmented, D here is what it makes of an augmented x, and the gradient is that in x before
the augmentation T: grad_x D(T(x)). So do the authors of R3GAN (Huang et al. 2024), of StyleGAN2-ADA (Karras et al. 2020), and of
differentiable augmentation in PyTorch and for few examples (Zhao et al. 2020). In the code of the last for CIFAR-10 and FFHQ in
TensorFlow, and in theirs for BigGAN, penalties are in T(x), as if the data were augmented beforehand.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from genexp.ranges import at_least, positive


class GradientPenalty(ABC):
    """A term of the discriminator's loss.

    Args:
        weight: its factor, above 0.
        target: the norm that is not penalised, at least 0.
        one_sided: penalise norms above ``target`` only (Petzka, Fischer, Lukovnikov, ICLR 2018).
        every: add the term in every so many updates of the discriminator, then with so many times the weight (lazy
            regularisation: Karras et al. 2020, section 4).
    """

    def __init__(self, *, weight: float, target: float, one_sided: bool, every: int) -> None:
        positive(hint="; to leave a penalty out, take it off the list of penalties", weight=weight)
        at_least(0, target=target)
        at_least(1, every=every)
        self.weight, self.target, self.one_sided, self.every = weight, target, one_sided, every

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
        """Where the gradient is taken: ``(B, *shape)``.

        Args:
            real, fake: the examples, before any augmentation ``(B, *shape)``.
            uniform: called with n and a shape, draws ``(n, *shape)`` uniformly from [0, 1).
        """

    def __call__(
        self,
        discriminate: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        uniform: Callable[..., Tensor],
    ) -> Tensor:
        """The penalty ``(B,)``, differentiable in the discriminator's parameters. ``discriminate`` maps ``(B, *shape)``, before
        any augmentation, to logits ``(B,)``; the other arguments are those of :meth:`points`."""
        with torch.enable_grad(), torch.autocast(real.device.type, enabled=False):
            x = self.points(real.detach(), fake.detach(), uniform).requires_grad_()
            (gradient,) = torch.autograd.grad(discriminate(x).sum(), x, create_graph=True)
            square = gradient.flatten(1).square().sum(1)
            if self.target == 0:
                return self.weight * self.every * square
            excess = (square + 1e-12).sqrt() - self.target  # the root has no slope at 0
            if self.one_sided:
                excess = excess.relu()
            return self.weight * self.every * excess**2


class R1(GradientPenalty):
    """gamma / 2 E |grad D(x)|^2 on the data (Mescheder, Geiger, Nowozin, ICML 2018, equation 9)."""

    def __init__(self, *, gamma: float, every: int) -> None:
        positive(gamma=gamma)
        super().__init__(weight=gamma / 2, target=0.0, one_sided=False, every=every)

    def points(self, real: Tensor, fake: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
        return real.clone()


class R2(R1):
    """gamma / 2 E |grad D(G(z))|^2 on the generator's examples (Mescheder et al. 2018, equation 10)."""

    def points(self, real: Tensor, fake: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
        return fake.clone()


class Interpolated(GradientPenalty):
    """Between data and generated examples, x = u real + (1 - u) fake with u uniform for each pair (Gulrajani et al., WGAN-GP,
    NIPS 2017, equation 3: weight 10, target 1, two-sided)."""

    def points(self, real: Tensor, fake: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
        u = uniform(len(real), *[1] * (real.ndim - 1)).to(real.dtype)
        return u * real + (1 - u) * fake


class Perturbed(GradientPenalty):
    """Around the data, between them and a perturbed copy, x = real + alpha (scale * s * u), with alpha uniform in [0, 1) for each
    example, u uniform in [0, 1) for each dimension, and s the standard deviation of all numbers of the batch (Kodali, Abernethy,
    Hays, Kira, "On convergence and stability of GANs", 2017, DRAGAN: weight 10, target 1, two-sided).

    This is the authors' code (kodalinaveen3/DRAGAN, scale 0.5). Their paper has no alpha and Gaussian noise, x = real + delta with
    delta ~ N(0, c I) (section 2.3).

    Args:
        scale: of the noise, above 0.
        weight, target, one_sided, every: see :class:`GradientPenalty`.
    """

    def __init__(self, *, scale: float, weight: float, target: float, one_sided: bool, every: int) -> None:
        positive(scale=scale)
        super().__init__(weight=weight, target=target, one_sided=one_sided, every=every)
        self.scale = scale

    def points(self, real: Tensor, fake: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
        u = uniform(len(real), *real.shape[1:]).to(real.dtype)
        alpha = uniform(len(real), *[1] * (real.ndim - 1)).to(real.dtype)
        return real + alpha * self.scale * real.std(correction=0) * u
