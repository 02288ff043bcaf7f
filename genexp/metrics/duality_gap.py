"""How far the two players of a GAN are from an equilibrium."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import AdversarialGame
from genexp.metrics.base import Metric
from genexp.metrics.examples import check_limit, mean, selected
from genexp.networks.blocks.normalisation import unsynchronised
from genexp.probability.randomness import keyed_draws
from genexp.ranges import at_least
from genexp.record.values import Value


class DualityGap(Metric):
    """The duality gap of Grnarova et al. ("A domain agnostic measure for monitoring and evaluating GANs", NeurIPS 2019, equation
    3), of the game in the discriminator's loss L(G, D): max_G' L(G', D) - min_D' L(G, D').

    Value, kind ``estimate``: ``<split>/duality_gap_nats_<steps>``, or ``duality_gap_<steps>`` where the objective's losses are
    not in nats. G' and D' are copies of the players, trained against the other one as it is by ``steps`` updates on training
    examples, as in training but without a schedule and without the generator's penalties; L is measured on the split. At an
    equilibrium the gap is 0. What is found here is in expectation no more than it, for there may be better adversaries: compare
    equal steps only. For minimax and non-saturating GANs it is twice that of the paper, whose game is halved.

    Its parts are the two terms. That of the worst discriminator says how well the generator's distribution is told from the
    data; for minimax and non-saturating GANs it is in expectation at most 2 JSD(p_data, p_G) - log 4.

    Args:
        steps: updates of either adversary, at least 1.
        batch_size: examples of an update, at least 1.
        limit: measure on so many examples only, which the seed chooses; None for all of the split.
    """

    requires = (AdversarialGame,)

    def __init__(self, *, steps: int, batch_size: int, limit: int | None) -> None:
        check_limit(limit)
        at_least(1, steps=steps, batch_size=batch_size)
        self.steps, self.batch_size, self.limit = steps, batch_size, limit

    def compute(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> list[Value]:
        if split == "train":
            raise ValueError("split=train: the adversaries are trained on it, take validation or test")
        worst = {}
        for player in ("generator", "discriminator"):
            with self._adversary(model, data, seed, player):
                worst[player] = self._losses(model, data, split, seed)
        objective = model.objective
        settings = {"objective": type(objective).__name__, "conditional": model.conditional, "packing": model.packing}
        settings |= {"steps": self.steps, "batch_size": self.batch_size, "examples": self.limit or data.size(split)}
        parts = {"worst generator": worst["generator"], "worst discriminator": -worst["discriminator"]}
        return [
            Value(
                quantity="duality_gap",
                split=split,
                settings={"steps": self.steps},
                unit=objective.unit,
                kind="estimate",
                direction="min",
                protocol=data.protocol(split) | settings,
                parts={name: {k: mean(part)[k] for k in ("value", "stderr")} for name, part in parts.items()},
                **mean(worst["generator"] - worst["discriminator"]),
            )
        ]

    @contextmanager
    def _adversary(self, model: GenerativeModule, data: LightningDataModule, seed: int, player: str) -> Iterator[None]:
        """Inside the block a player is the adversary of the other. The model is in evaluation mode, without gradients."""
        own, other = getattr(model, player), model.generator if player == "discriminator" else model.discriminator
        with model.evaluating():
            try:
                with torch.inference_mode(False), torch.enable_grad():
                    setattr(model, player, unsynchronised(copy.deepcopy(own)).train())
                    other.requires_grad_(False)
                    with keyed_draws(model.device, seed, "duality gap", player):
                        model.respond(player, self._batches(model, data, player))
                getattr(model, player).eval()
                with torch.no_grad():
                    yield
            finally:
                setattr(model, player, own)
                other.requires_grad_(True)

    def _batches(
        self, model: GenerativeModule, data: LightningDataModule, player: str
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        for _ in model.track(range(self.steps), f"duality gap, worst {player}"):
            x, y = data.at("train", torch.randint(data.size("train"), (self.batch_size,)))
            yield x.to(model.device), None if y is None else y.to(model.device)

    def _losses(self, model: GenerativeModule, data: LightningDataModule, split: str, seed: int) -> Tensor:
        """The discriminator's loss on each example of a split, of a pack once: ``(groups,)``; the same draws at each call."""
        losses = []
        batches = selected(data, split, limit=self.limit, seed=seed, at_once=self.batch_size)
        for index, (x, y) in enumerate(batches):
            x, y = x.to(model.device), None if y is None else y.to(model.device)
            with keyed_draws(model.device, seed, "duality gap", index):
                losses.append(model.loss(x, y)["discriminator_loss"][:: model.packing].double().cpu())
        return torch.cat(losses)
