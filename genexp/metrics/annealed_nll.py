"""Log-likelihood of a decoder by annealed importance sampling, whose encoder plays no part."""

from collections.abc import Iterable

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import LatentVariables
from genexp.metrics.base import Metric
from genexp.metrics.examples import check_limit, mean, selected
from genexp.metrics.likelihood import likelihood_values
from genexp.probability.latent.annealed_importance import AnnealedSampler, sigmoid_schedule
from genexp.probability.randomness import keyed_draws
from genexp.ranges import at_least, inside, positive
from genexp.record.values import Value


class AnnealedNLL(Metric):
    """-log p(x) by annealed importance sampling from p(z) to p(z) p(x|z) (Wu et al. 2017), on the first examples of a split.

    Values, kind ``estimate``:

    - ``<split>/nll_ais_nats`` and, for discrete data, ``nll_ais_bpd``: minus the log of the mean weight of the chains, in
      expectation at least -log p(x).
    - ``<split>/ais_gap_nats``: on as many examples that the model draws itself, whose exact posterior draw is known, the mean
      of an upper estimate of log p(x), from chains that go from this draw back to the prior, minus the estimate from the
      prior (Grosse et al. 2015). It bounds in expectation what the chains miss on the model's own data; on others as
      far as these are alike.

    Transitions are Hamiltonian, one for each temperature; the step sizes are tuned for every example in a run of their own,
    then fixed.

    Args:
        limit: number of examples, at least 1, of the split, which the seed chooses, and of the simulation; None for all of
            the split.
        chains: for each example, at least 1.
        steps: temperatures after that of the prior, at least 1.
        steepness: of the sigmoid schedule of temperatures, positive; 4 in the paper.
        leapfrog_steps: gradients in a transition, at least 1.
        target_acceptance: of transitions, in (0, 1).
        step_size: of the first transition, in standard deviations of the prior, positive.
        adaptation: of the step sizes, positive: their logarithm changes by this times (acceptance - target).
        at_once: chains that are run at once (but all of an example), at least 1: limits the memory.
    """

    requires = (LatentVariables,)

    def __init__(
        self,
        *,
        limit: int | None,
        chains: int,
        steps: int,
        steepness: float,
        leapfrog_steps: int,
        target_acceptance: float,
        step_size: float,
        adaptation: float,
        at_once: int,
    ) -> None:
        check_limit(limit)
        at_least(1, chains=chains, steps=steps, leapfrog_steps=leapfrog_steps, at_once=at_once)
        positive(steepness=steepness, step_size=step_size, adaptation=adaptation)
        inside(0, 1, target_acceptance=target_acceptance)
        self.limit, self.chains, self.steps, self.steepness = limit, chains, steps, steepness
        self.leapfrog_steps, self.target_acceptance, self.step_size = leapfrog_steps, target_acceptance, step_size
        self.adaptation, self.at_once = adaptation, at_once

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        n = data.size(split) if self.limit is None else min(self.limit, data.size(split))
        size = max(1, self.at_once // self.chains)
        batches = selected(data, split, limit=self.limit, seed=seed, at_once=size)
        index = 0
        log_p, labels, acceptance, lower, upper = [], [], [], [], []
        with model.evaluating(), torch.no_grad():
            for x, y in batches:
                x, y = x.to(model.device), None if y is None else y.to(model.device)
                where = f"{index + 1:,} to {index + len(x):,} of {n:,}"
                with keyed_draws(model.device, seed, "ais", index):
                    found, accepted = self._tuned(model, x, y, f"AIS, {where}").forward(self._prior(model, len(x)))
                log_p.append(found.cpu())
                acceptance.append(accepted.cpu())
                if y is not None:
                    labels.append(y.cpu())
                with keyed_draws(model.device, seed, "ais", "simulated", index):
                    y = torch.randint(model.num_classes, (len(x),), device=model.device) if model.conditional else None
                    z = model.sample_prior(len(x))
                    sampler = self._tuned(model, model.decode(z, y), y, f"AIS, simulated {where}")
                    lower.append(sampler.forward(self._prior(model, len(x)))[0].cpu())
                    upper.append(sampler.reverse(z.expand(self.chains, *z.shape)).cpu())
                index += len(x)
        settings = {name: getattr(self, name) for name in ("chains", "steps", "steepness", "leapfrog_steps")}
        accepted = round(torch.cat(acceptance).mean().item(), 2)
        model.context.note(f"AIS: {accepted:.0%} of the transitions accepted")
        labelled = torch.cat(labels) if labels else None
        values = likelihood_values(
            -torch.cat(log_p),
            labelled,
            model,
            data,
            split,
            kind="estimate",
            settings={"estimator": "ais"},
            protocol=settings,
        )
        gap = Value(
            quantity="ais_gap",
            split=split,
            unit="nats",
            kind="estimate",
            direction="min",
            protocol=values[0].protocol | {"examples_from": "model"},
            **mean(torch.cat(upper) - torch.cat(lower)),
        )
        return [*values, gap]

    def _prior(self, model: GenerativeModule, n: int) -> Tensor:
        """``(chains, n, latent_dim)``."""
        return model.sample_prior(self.chains * n).view(self.chains, n, -1)

    def _tuned(self, model: GenerativeModule, x: Tensor, y: Tensor | None, what: str) -> AnnealedSampler:
        """The sampler for x ``(B, *shape)`` and y ``(B,)``, with its step sizes chosen."""

        def log_likelihood(z: Tensor) -> Tensor:
            return model.log_conditional(x, z.flatten(0, 1), y).view(z.shape[:2])

        def bar(steps: Iterable[int], stage: str) -> Iterable[int]:
            return model.track(steps, f"{what}: {stage}")

        schedule = sigmoid_schedule(self.steps, self.steepness)
        sampler = AnnealedSampler(model.log_prior, log_likelihood, schedule, self.leapfrog_steps, bar)
        sampler.tune(self._prior(model, len(x)), self.step_size, self.target_acceptance, self.adaptation)
        return sampler
