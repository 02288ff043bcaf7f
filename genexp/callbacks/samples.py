"""Sample grids, or sounds, reconstructions and interpolations during training."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from genexp.callbacks.density_pictures import density_picture, quantile_picture
from genexp.callbacks.grids import Panel, write_grid
from genexp.callbacks.hand_over import hand_over, hand_over_sounds
from genexp.callbacks.latent_tables import interpolations, prior_interpolations, symmetric_values, traversals, usage
from genexp.callbacks.pictures import are_images, conditional_means, label_names, over_time, picture, seen
from genexp.callbacks.sounds import sounds
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import (
    ConditionalMeans,
    ExactLikelihood,
    LatentDecoder,
    LatentVariables,
    Reconstruction,
)
from genexp.plot_style import DOT
from genexp.probability.latent.interpolation import slerp
from genexp.probability.randomness import keyed_draws
from genexp.record.folder import RunFolder

SHARES = (0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Of the planned training images, after which ``auto`` draws a grid: models change most in the beginning."""
STRIP, STRIP_BYTES = 10, 1 << 18
"""Samples, and bytes of them, at most, that each row of the picture over time has; they are in every checkpoint."""


class SampleGrid(Callback):
    """Draws a grid, and what else the family can, from time to time, and ``over_time.png``, the first samples of each grid below
    one another.

    All grids of a run come from the same random draws, so that they show training and not chance. A conditional model
    is sampled label by label: every column of a grid is one label.

    Args:
        folder: of the run; the PNGs go to its ``samples/``.
        n: number of samples.
        every_images: training images between two grids; looked at after each validation. ``auto``: at the beginning and after
            the :data:`SHARES` of the planned images, where these are not known whenever their number has doubled. None for
            no grids in training.
        planned: training images of the run; None if not known.
        seed: the run's seed.
    """

    def __init__(
        self, folder: RunFolder, n: int, every_images: int | Literal["auto"] | None, planned: int | None, seed: int
    ) -> None:
        self.run, self.folder, self.n, self.every, self.seed = folder, folder.samples, n, every_images, seed
        self.planned = planned
        self._last = 0
        self._strip: dict[int, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"last": self._last, "strip": self._strip}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "next" in state_dict:  # of version 0.3.0
            self._last = max(state_dict["next"] - (self.every if isinstance(self.every, int) else 0), 0)
            return
        self._last, self._strip = state_dict["last"], state_dict["strip"]

    def _due(self, images: int) -> bool:
        """Whether a grid is to be drawn of a model that has seen so many images."""
        if self.every is None:
            return False
        if self.every != "auto":
            return images // self.every > self._last // self.every
        if self.planned is None:
            return images >= 2 * self._last
        return any(self._last < share * self.planned <= images for share in SHARES)

    def on_train_start(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if self.every == "auto" and pl_module.images_seen == 0:
            self._draw_now(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        if self._due(pl_module.images_seen):
            self._draw_now(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: GenerativeModule) -> None:
        path = self.folder / "over_time.png"
        if trainer.is_global_zero and len(self._strip) > 1 and path.exists():
            hand_over(trainer, pl_module, "over_time", path)

    def _draw_now(self, trainer: Trainer, model: GenerativeModule) -> None:
        self._last = model.images_seen
        with model.whole():
            if trainer.is_global_zero:
                self.draw(trainer, model, f"{model.images_seen:09d}", in_training=True)

    def draw(self, trainer: Trainer, model: GenerativeModule, name: str, in_training: bool = False) -> None:
        """Write ``<name>.png``, ``<name>-reconstructions.png`` and ``<name>-interpolations.png``, and of sound WAV files
        beside the first two; hand all to the loggers. In training ``over_time.png`` gets a further row."""
        with keyed_draws(model.device, self.seed, "grid"):
            y = torch.arange(self.n, device=model.device) % model.num_classes if model.conditional else None
            x, means = conditional_means(model, self.n, y)
            self._show(trainer, model, "samples", x, means, y, name)
            if in_training:
                self._add(trainer, model, x if means is None else means, y, means is not None)
            if isinstance(model, Reconstruction):
                x, y = next(iter(trainer.datamodule.loader("validation", self.n // 2)))
                x, y = x.to(model.device), None if y is None else y.to(model.device)
                self._reconstructions(trainer, model, x, y, f"{name}-reconstructions")
            if isinstance(model, LatentDecoder):
                self._interpolations(trainer, model, name)
            if isinstance(model, ExactLikelihood):
                self._density(trainer, model, name)

    @torch.no_grad()
    def _reconstructions(
        self, trainer: Trainer, model: GenerativeModule, x: Tensor, y: Tensor | None, name: str
    ) -> None:
        """Each example above what became of it, and, where p(x | z) has one, above its mean at the mean of q(z | x)."""
        rows = {"original": x}
        with model.evaluating():
            rows["reconstruction"] = model.reconstruct(x, y)
            if isinstance(model, LatentVariables) and model.unfit(ConditionalMeans) is None:
                rows["mean of p(x|z)"] = model.conditional_mean(model.latent_mean(x, y), y)
        if trainer.datamodule.sample_rate is not None:
            pairs = torch.stack([x, rows["reconstruction"]], dim=1).flatten(0, 1)
            labels = None if y is None else y.repeat_interleave(2)
            self._show(trainer, model, "reconstructions", pairs, None, labels, name)
        elif are_images(model.shape, model.levels):
            width = min(8, len(x))
            whole = len(x) // width * width
            images = torch.stack([part[:whole].float() for part in rows.values()])
            images = images.unflatten(1, (-1, width)).transpose(0, 1).flatten(0, 2)
            panel = Panel(x=images, width=width, rows=list(rows) * (whole // width), block=len(rows))
            path = self.folder / f"{name}.png"
            title = self._title(trainer, model, "reconstructions of validation examples")
            write_grid([panel], model.levels, title, path)
            hand_over(trainer, model, "reconstructions", path)

    @torch.no_grad()
    def _interpolations(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """Between the posterior means of eight pairs of validation examples, or of pairs of draws from the prior of a family
        that has no posterior, along arcs."""
        way = {"path": slerp, "steps": 11, "knobs": {}}
        with model.evaluating():
            if isinstance(model, LatentVariables):
                x, y = self._examples(trainer, model, min(16, trainer.datamodule.size("validation") // 2 * 2))
                table = interpolations(model, x, y, None if y is None else y[::2], **way)
                what = "between the posterior means of validation examples"
            else:
                y = torch.arange(8, device=model.device) % model.num_classes if model.conditional else None
                table = prior_interpolations(model, y, rows=8, **way)
                what = "between draws of z"
        path = self.folder / f"{name}-interpolations.png"
        title = self._title(trainer, model, f"interpolations {what}")
        if table.write(model.levels, path, title=title, names=trainer.datamodule.class_names):
            hand_over(trainer, model, "interpolations", path)

    @torch.no_grad()
    def _density(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """In the plane, ``<name>-density.png``."""
        data, path = trainer.datamodule, self.folder / f"{name}-density.png"
        with model.evaluating():
            title = self._title(trainer, model, "density")
            if density_picture(model, data.density, *self._examples(trainer, model, 1_000), path, title=title):
                hand_over(trainer, model, "density", path)

    @torch.no_grad()
    def draw_latents(self, trainer: Trainer, model: GenerativeModule, name: str) -> None:
        """Write ``<name>-latents.png``, the quantiles of the latent image of validation data, and hand it to the loggers; nothing
        where the family has none."""
        path = self.folder / f"{name}-latents.png"
        with model.evaluating(), keyed_draws(model.device, self.seed, "latents"):
            title = self._title(trainer, model, "the latent image of validation examples")
            if quantile_picture(model, *self._examples(trainer, model, 500), path, title=title):
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
        title = self._title(trainer, model, "traversals of the most used dimensions of z")
        if table.write(model.levels, path, title=title):
            hand_over(trainer, model, "traversals", path)

    def _examples(self, trainer: Trainer, model: GenerativeModule, n: int) -> tuple[Tensor, Tensor | None]:
        """``n`` validation examples, always the same, on the model's device; labels of a conditional model."""
        x, y = trainer.datamodule.examples("validation", n, self.seed)
        return x.to(model.device), y.to(model.device) if model.conditional else None

    def _title(self, trainer: Trainer, model: GenerativeModule, *more: str) -> str:
        return DOT.join([self.run.title(trainer.datamodule.name), seen(model.images_seen, trainer.datamodule), *more])

    def _show(
        self,
        trainer: Trainer,
        model: GenerativeModule,
        kind: str,
        x: Tensor,
        means: Tensor | None,
        y: Tensor | None,
        name: str,
    ) -> None:
        path, data = self.folder / f"{name}.png", trainer.datamodule
        labels = label_names(y, data.class_names)
        title = self._title(trainer, model, kind)
        if data.sample_rate is not None:
            path, *clips = sounds(
                x, y, model.levels, data.sample_rate, self.folder / name, title=title, names=data.class_names
            )
            hand_over(trainer, model, kind, path)
            hand_over_sounds(trainer, model, f"{kind}_audio", clips)
        elif picture(x, model.levels, path, title=title, labels=labels, means=means):
            hand_over(trainer, model, kind, path)

    def _add(self, trainer: Trainer, model: GenerativeModule, x: Tensor, y: Tensor | None, are_means: bool) -> None:
        """A further row of ``over_time.png``: samples, or means of p(x | z)."""
        if trainer.datamodule.sample_rate is not None:
            return
        n, levels = self.n, model.levels
        if levels is not None:  # in bytes, for the checkpoints
            n, x = max(2, min(STRIP, STRIP_BYTES // x[0].numel())), (x / (levels - 1) * 255).round().to(torch.uint8)
            levels = 256
        self._strip[model.images_seen] = x[:n].cpu().clone()
        n = min(map(len, self._strip.values()))
        rows = {images: x[:n] for images, x in sorted(self._strip.items())}
        labels: Sequence[str] | None = label_names(None if y is None else y[:n], trainer.datamodule.class_names)
        what = "means of p(x|z) of the same z" if are_means else "the same draws"
        title = DOT.join([self.run.title(trainer.datamodule.name), f"{what} over training"])
        if len(rows) > 1:
            over_time(rows, levels, self.folder / "over_time.png", title=title, labels=labels)
