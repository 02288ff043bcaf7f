"""Continuous normalizing flows: an ordinary differential equation moves noise, at t = 0, to data, at t = 1, and is trained by the
likelihood (Chen et al. 2018; Grathwohl et al., "FFJORD", 2019)."""

from typing import Any

import torch
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import Dynamics, LatentDecoder, LikelihoodEstimate
from genexp.families.slots.calling import made_by
from genexp.families.slots.flow import SourceFactory, VelocityFactory
from genexp.probability.dynamics.ode import runge_kutta, velocity_and_divergence
from genexp.probability.transforms.base import full_precision
from genexp.probability.transforms.elementwise import Standardise
from genexp.ranges import at_least


class ContinuousFlow(GenerativeModule, Dynamics, LikelihoodEstimate, LatentDecoder):
    """log p(x_1) = log p(x_0) - int_0^1 div v(x_t, t) dt along dx/dt = v(x, t).

    The equation is solved by fixed steps of the fourth order, so that the value is neither exact nor a bound, and yet depends on
    nothing but the example, the number of steps and, with ``hutchinson``, a draw.

    Args:
        network: :class:`~genexp.families.slots.flow.VelocityFactory`, of v.
        source: :class:`~genexp.families.slots.flow.SourceFactory`, of p(x_0).
        steps: of the solver, at least 1, in training, in samples, and in estimates that do not say otherwise.
        hutchinson: estimate div v by one random projection for each example and path; False computes it exactly, by one backward
            pass a dimension.
        standardise, initial_examples: see :class:`genexp.families.flow.Flow`.
        common: see :class:`GenerativeModule`.

    Raises:
        ValueError: the data have levels, or an argument is out of range.
    """

    def __init__(
        self,
        *,
        network: VelocityFactory,
        source: SourceFactory,
        steps: int,
        hutchinson: bool,
        standardise: bool,
        initial_examples: int | None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if self.levels is not None:
            raise ValueError(f"levels={self.levels}: a continuous flow is a density of reals, levels null")
        at_least(1, steps=steps)
        if initial_examples is not None:
            at_least(1, initial_examples=initial_examples, hint=", or null for all")
        self.solver_steps, self.hutchinson, self.initial_examples = steps, hutchinson, initial_examples
        self.standardise = Standardise(self.shape) if standardise else None
        self.network = made_by(network, shape=self.shape, num_classes=self.label_width)
        self.source = made_by(source, dims=self.dims)
        self.latent_dim = self.dims
        self.differentiates_twice = True

    # --- the equation, of standardised x ------------------------------------------------------------------------

    def velocity(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        with full_precision(x):
            return self.network(x, t, self.labels(y))

    def source_log_prob(self, z: Tensor) -> Tensor:
        return self.source(z.flatten(1))

    def source_sample(self, n: int) -> Tensor:
        return self.source.sample(n).view(n, *self.shape)

    def log_prob_estimate(self, x: Tensor, y: Tensor | None = None, *, steps: int | None = None) -> Tensor:
        """``(B,)`` in nats.

        Args:
            x: ``(B, *shape)``.
            y: labels ``(B,)`` of a conditional model.
            steps: of the solver, at least 1; None for the model's own.
        """
        steps = self.solver_steps if steps is None else steps
        at_least(1, steps=steps)
        y = self.labels(y)
        log_volume = x.new_zeros(len(x))
        if self.standardise is not None:
            x, log_volume = self.standardise(x)
        probe = None
        if self.hutchinson:
            probe = torch.where(self.uniform(len(x), *self.shape) < 0.5, -1.0, 1.0).to(x.dtype)
        differentiable = torch.is_grad_enabled()

        def f(state: tuple[Tensor, ...], t: float) -> tuple[Tensor, ...]:
            here = state[0]
            times = here.new_full((len(here),), t)
            v, divergence = velocity_and_divergence(
                lambda x, t: self.velocity(x, t, y), here, times, probe, create_graph=differentiable
            )
            return (v, divergence) if differentiable else (v.detach(), divergence.detach())

        with full_precision(x):
            z, change = runge_kutta(f, (x, torch.zeros_like(log_volume)), 1.0, 0.0, steps)
            return self.source_log_prob(z) + change + log_volume

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``: the estimate of -log p(x), ``(B,)`` in nats."""
        return {"loss": -self.log_prob_estimate(x, y)}

    @torch.no_grad()
    def initialise(self, x: Tensor, y: Tensor | None) -> None:
        if self.standardise is not None:
            self.standardise.initialise(x.to(self.dtype), None)

    # --- sampling ----------------------------------------------------------------------------------------------

    def draw(self, n: int, y: Tensor | None, *, temperature: float = 1.0, steps: int | None = None) -> Tensor:
        """Noise moved to t = 1.

        Args:
            n: number of examples.
            y: labels ``(n,)``, or None.
            temperature: of the noise, at least 0. Another value than 1 draws from another model.
            steps: of the solver, at least 1; None for the model's own.
        """
        at_least(0, temperature=temperature)
        return self.decode(self.source.sample(n, temperature), y, steps=steps)

    def sample_prior(self, n: int) -> Tensor:
        return self.source.sample(n)

    def decode(self, z: Tensor, y: Tensor | None = None, *, steps: int | None = None) -> Tensor:
        steps = self.solver_steps if steps is None else steps
        at_least(1, steps=steps)

        def f(state: tuple[Tensor, ...], t: float) -> tuple[Tensor, ...]:
            return (self.velocity(state[0], state[0].new_full((len(z),), t), y),)

        (x,) = runge_kutta(f, (z.view(-1, *self.shape),), 0.0, 1.0, steps)
        return x if self.standardise is None else self.standardise.inverse(x)

    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(z, y)
