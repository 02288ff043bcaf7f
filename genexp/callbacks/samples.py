"""Sample grids, or sounds, reconstructions and interpolations during training."""

from pathlib import Path

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from genexp.callbacks.density_pictures import density_picture, quantile_picture
from genexp.callbacks.hand_over import hand_over, hand_over_sounds
from genexp.callbacks.latent_tables import interpolations, prior_interpolations, symmetric_values, traversals, usage
from genexp.callbacks.pictures import picture
from genexp.callbacks.sounds import sounds
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ExactLikelihood, LatentDecoder, LatentVariables, Reconstruction
from genexp.probability.latent.interpolation import slerp
from genexp.probability.randomness import keyed_draws


class SampleGrid(Callback):
    """Draws a grid, and what else the family can, whenever another ``every_images`` images have been seen.

    All grids of a run come from the same random draws, so that they show training and not chance. A conditional model
    is sampled label by label: every column of a grid is one label.

    Args:
        folder: where the PNGs go.
        n: number of samples.
        every_images: training images between two grids; looked at after each validation. None for no grids in training.
        seed: the run's seed.
    """

    def __init__(self, folder: Path, n: int, every_images: int | None, seed: int) -> None:
        self.folder, self.n, self.every, self.seed = folder, n, every_images, seed
        self._next = every_images or 0

    def state_dict(self) -> dict[str, int]:
        return {"next": self._next}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._next = state_dict["next"]

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if self.every is not None and pl_module.images_seen >= self._next:
            self._next = (pl_module.images_seen // self.every + 1) * self.every
            with pl_module.whole():
                if trainer.is_global_zero:
                    self.draw(trainer, pl_module, f"{pl_module.images_seen:09d}")

    def draw(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """Write ``<name>.png``, ``<name>-reconstructions.png`` and ``<name>-interpolations.png``, and of sound WAV files
        beside the first two; hand all to the loggers."""
        with keyed_draws(model.device, self.seed, "grid"):
            columns = model.num_classes if model.conditional else None
            y = torch.arange(self.n, device=model.device) % model.num_classes if model.conditional else None
            self._show(trainer, model, "samples", model.sample(self.n, y), y, name, columns)
            if isinstance(model, Reconstruction):
                x, y = next(iter(trainer.datamodule.loader("validation", self.n // 2)))
                x, y = x.to(model.device), None if y is None else y.to(model.device)
                with model.evaluating():
                    pairs = torch.stack([x, model.reconstruct(x, y)], dim=1).flatten(0, 1)
                labels = None if y is None else y.repeat_interleave(2)
                self._show(trainer, model, "reconstructions", pairs, labels, f"{name}-reconstructions", 8)
            if isinstance(model, LatentDecoder):
                self._interpolations(trainer, model, name)
            if isinstance(model, ExactLikelihood):
                self._density(trainer, model, name)

    @torch.no_grad()
    def _interpolations(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """Between the posterior means of eight pairs of validation examples, or of pairs of draws from the prior of a family
        that has no posterior, along arcs."""
        way = {"path": slerp, "steps": 11, "knobs": {}}
        with model.evaluating():
            if isinstance(model, LatentVariables):
                x, y = self._examples(trainer, model, min(16, trainer.datamodule.size("validation") // 2 * 2))
                table = interpolations(model, x, y, None if y is None else y[::2], **way)
            else:
                y = torch.arange(8, device=model.device) % model.num_classes if model.conditional else None
                table = prior_interpolations(model, y, rows=8, **way)
        path = self.folder / f"{name}-interpolations.png"
        if table.write(model.levels, path):
            hand_over(trainer, model, "interpolations", path)

    @torch.no_grad()
    def _density(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """In the plane, ``<name>-density.png``."""
        data, path = trainer.datamodule, self.folder / f"{name}-density.png"
        with model.evaluating():
            if density_picture(model, data.density, *self._examples(trainer, model, 1_000), path):
                hand_over(trainer, model, "density", path)

    @torch.no_grad()
    def draw_latents(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """Write ``<name>-latents.png``, the quantiles of the latent image of validation data, and hand it to the loggers; nothing
        where the family has none."""
        path = self.folder / f"{name}-latents.png"
        with model.evaluating(), keyed_draws(model.device, self.seed, "latents"):
            if quantile_picture(model, *self._examples(trainer, model, 500), path):
                hand_over(trainer, model, "latents", path)

    @torch.no_grad()
    def draw_traversals(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """Write ``<name>-traversals.png``, of the dimensions of z with the largest KL and from the posterior mean of a
        validation example, and hand it to the loggers; nothing where the family has no such dimensions."""
        if not isinstance(model, LatentVariables):
            return
        x, y = self._examples(trainer, model, trainer.datamodule.evaluation_batch_size)
        with model.evaluating():
            centre = model.latent_mean(x, y)[0]
            used, form = usage(model, x, y)
            label = None if y is None else y[:1]
            values = symmetric_values(3.0, 11)
            table = traversals(model, centre, label, used, form, rows=10, values=values, knobs={})
        path = self.folder / f"{name}-traversals.png"
        if table.write(model.levels, path):
            hand_over(trainer, model, "traversals", path)

    def _examples(self, trainer: Trainer, model: GenerativeModule, n: int) -> tuple[Tensor, Tensor | None]:
        """``n`` validation examples, always the same, on the model's device; labels of a conditional model."""
        x, y = trainer.datamodule.examples("validation", n, self.seed)
        return x.to(model.device), y.to(model.device) if model.conditional else None

    def _show(
        self,
        trainer: Trainer,
        model: GenerativeModule,
        kind: str,
        x: Tensor,
        y: Tensor | None,
        name: str,
        columns: int | None,
    ) -> None:
        path = self.folder / f"{name}.png"
        if trainer.datamodule.sample_rate is not None:
            path, *clips = sounds(x, y, model.levels, trainer.datamodule.sample_rate, self.folder / name)
            hand_over(trainer, model, kind, path)
            hand_over_sounds(trainer, model, f"{kind}_audio", clips)
        elif picture(x, model.levels, path, columns):
            hand_over(trainer, model, kind, path)
