"""Annealed importance sampling of the evidence p(x) of a latent-variable model, with Hamiltonian transitions."""

from collections.abc import Callable, Iterable
from math import log

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
"""z ``(C, B, D)`` -> ``(C, B)`` in nats, differentiable."""


def sigmoid_schedule(steps: int, steepness: float) -> list[float]:
    """Inverse temperatures 0 = b_0 < ... < b_steps = 1, close to each other at both ends (Wu et al. 2017, section 4.1).

    Args:
        steps: at least 1.
        steepness: the logistic function is taken from minus to plus this, positive.
    """
    values = torch.sigmoid(torch.linspace(-steepness, steepness, steps + 1, dtype=torch.float64))
    return ((values - values[0]) / (values[-1] - values[0])).tolist()


def hamiltonian_step(
    log_density: LogDensity, z: Tensor, step_size: Tensor, leapfrog_steps: int
) -> tuple[Tensor, Tensor]:
    """One transition of Hamiltonian Monte Carlo with unit masses, which leaves the density invariant (Neal 2011).

    Args:
        log_density: of the target, up to a constant.
        z: ``(C, B, D)``.
        step_size: ``(B,)``, positive.
        leapfrog_steps: at least 1.

    Returns:
        z ``(C, B, D)``, and the probability with which the proposal was accepted ``(C, B)``; 0 where it is not finite.
    """

    def with_gradient(z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = log_density(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    step = step_size.unsqueeze(-1)
    momentum = torch.randn_like(z)
    before, gradient = with_gradient(z)
    energy = before - 0.5 * (momentum**2).sum(-1)
    proposal = z
    for _ in range(leapfrog_steps):
        momentum = momentum + 0.5 * step * gradient
        proposal = proposal + step * momentum
        after, gradient = with_gradient(proposal)
        momentum = momentum + 0.5 * step * gradient
    change = after - 0.5 * (momentum**2).sum(-1) - energy
    accepted = torch.nan_to_num(change, nan=-torch.inf).clamp(max=0).exp()
    keep = torch.rand_like(accepted) < accepted
    return torch.where(keep.unsqueeze(-1), proposal, z), accepted


class AnnealedSampler:
    """Annealed importance sampling between a prior p(z) and p(z) p(x | z), by p(z) p(x | z)^b (Neal 2001; Wu et al. 2017).

    The step sizes are found by :meth:`tune` for every x and temperature, and then fixed: with steps that adapt to the chains
    that are averaged, the weights would not be unbiased.

    Args:
        log_prior, log_likelihood: log p(z), log p(x | z) for the B examples.
        schedule: see :func:`sigmoid_schedule`.
        leapfrog_steps: of a transition, at least 1; there is one transition at each temperature.
        track: shows the progress of a loop over temperatures, called with them and what is done.
    """

    def __init__(
        self,
        log_prior: LogDensity,
        log_likelihood: LogDensity,
        schedule: list[float],
        leapfrog_steps: int,
        track: Callable[[Iterable[int], str], Iterable[int]],
    ) -> None:
        self.log_prior, self.log_likelihood = log_prior, log_likelihood
        self.schedule, self.leapfrog_steps, self.track = schedule, leapfrog_steps, track
        self.step_sizes: list[Tensor] = []

    def _move(self, z: Tensor, t: int, step_size: Tensor) -> tuple[Tensor, Tensor]:
        def log_density(z: Tensor) -> Tensor:
            return self.log_prior(z) + self.schedule[t] * self.log_likelihood(z)

        return hamiltonian_step(log_density, z, step_size, self.leapfrog_steps)

    def _weight(self, z: Tensor, t: int) -> Tensor:
        """log of p(z) p(x|z)^b_t over p(z) p(x|z)^b_(t-1): ``(C, B)`` float64."""
        with torch.no_grad():
            return (self.schedule[t] - self.schedule[t - 1]) * self.log_likelihood(z).double()

    def tune(self, z: Tensor, step_size: float, target: float, rate: float) -> None:
        """Choose the step sizes by a forward run of its own: after each transition the logarithm of an example's step
        grows by ``rate`` (acceptance - target).

        Args:
            z: draws from the prior ``(C, B, D)``; the acceptance is the mean over the C chains.
            step_size: the first, positive.
            target: acceptance, in (0, 1).
            rate: of the adaptation, positive.
        """
        log_step = torch.full(z.shape[1:2], log(step_size), dtype=z.dtype, device=z.device)
        self.step_sizes = []
        for t in self.track(range(1, len(self.schedule)), "step sizes"):
            self.step_sizes.append(log_step.exp())
            z, accepted = self._move(z, t, log_step.exp())
            log_step = log_step + rate * (accepted.mean(0) - target)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """From the prior to the posterior.

        Args:
            z: draws from p(z), ``(C, B, D)``.

        Returns:
            ``(B,)``: log of the mean over chains of weights whose expectation is p(x), so that in expectation it is at most
            log p(x); and the mean acceptance.
        """
        total, accepted = torch.zeros_like(z[..., 0], dtype=torch.float64), torch.zeros_like(z[0, :, 0])
        for t in self.track(range(1, len(self.schedule)), "forward"):
            total = total + self._weight(z, t)
            z, acceptance = self._move(z, t, self.step_sizes[t - 1])
            accepted = accepted + acceptance.mean(0)
        return total.logsumexp(0) - log(len(z)), accepted / (len(self.schedule) - 1)

    def reverse(self, z: Tensor) -> Tensor:
        """From the posterior to the prior (Grosse, Ghahramani & Adams 2015).

        Args:
            z: exact draws from p(z | x), ``(C, B, D)``; they need not be independent over chains.

        Returns:
            ``(B,)``: minus the log of the mean over chains of weights whose expectation is 1 / p(x), so that in
            expectation it is at least log p(x).
        """
        total = torch.zeros_like(z[..., 0], dtype=torch.float64)
        for t in self.track(range(len(self.schedule) - 1, 0, -1), "reverse"):
            z, _ = self._move(z, t, self.step_sizes[t - 1])
            total = total - self._weight(z, t)
        return log(len(z)) - total.logsumexp(0)
