"""A second stage: a prior over the codes of a trained VQ-VAE (van den Oord, Vinyals, Kavukcuoglu 2017, section 3.3)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genexp.families.base import GenerativeModule
from genexp.families.capabilities import ConditionalMeans, ExactLikelihood, LikelihoodBound, Reconstruction
from genexp.families.slots.calling import made_by
from genexp.families.slots.quantised import CodePriorFactory
from genexp.families.vq_vae import VQVAE


class TwoStage(GenerativeModule, LikelihoodBound, Reconstruction, ConditionalMeans):
    """p(x) = sum over codes of prior(codes) p(x | codes): p(x | codes) is a VQ-VAE's and frozen, the prior is learnt.

    The codes are data of shape (1, h, w) with K levels, so that any model with an exact likelihood can be the prior. The
    first stage's weights are buffers here: every checkpoint has them, and no optimizer.

    Args:
        first_stage: the VQ-VAE, of the same data; of at most 256 codes.
        first_stage_run: the run folder that it is from, for the record.
        first_stage_sha256: of the checkpoint there, for the record.
        code_prior: :class:`~genexp.families.slots.quantised.CodePriorFactory`.
        base: see :class:`GenerativeModule`. A conditional model has a conditional prior; a conditional first stage needs one.

    Raises:
        ValueError: the first stage is no VQ-VAE, or does not go with the data or the prior; or the prior has no exact
            likelihood.
    """

    units: ClassVar[Mapping[str, str]] = {"loss": "nats", "elbo": "nats", "distortion": "nats"}

    def __init__(
        self,
        *,
        first_stage: VQVAE,
        first_stage_run: str | None,
        first_stage_sha256: str | None,
        code_prior: CodePriorFactory,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if not isinstance(first_stage, VQVAE):
            raise ValueError(f"first_stage: must be a VQ-VAE, not {type(first_stage).__name__}")
        for name in ("shape", "levels", *(("num_classes",) if first_stage.conditional else ())):
            trained, given = getattr(first_stage, name), getattr(self, name)
            if trained != given:
                raise ValueError(f"data.{name}={given}: the first stage was trained on data with {trained}")
        if first_stage.conditional and not self.conditional:
            raise ValueError("conditional=false: the first stage is conditional; set model.conditional=true")
        size = first_stage.codebook.size
        if size > 256:
            raise ValueError(f"first_stage: its codebook has {size} codes, and a prior models at most 256")
        self.first_stage_run, self.first_stage_sha256 = first_stage_run, first_stage_sha256
        self.first_stage = first_stage
        freeze(first_stage)
        self.prior = made_by(
            code_prior,
            shape=(1, *first_stage.grid),
            levels=size,
            num_classes=self.num_classes,
            conditional=self.conditional,
            optimizer=None,
            scheduler=None,
        )
        if not isinstance(self.prior, ExactLikelihood):
            raise ValueError(f"code_prior: {type(self.prior).__name__} has no exact likelihood")

    @torch.no_grad()
    def codes(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes of x as the prior's data: uint8 ``(B, 1, h, w)`` in [0, K). In training, too, as in evaluation."""
        with self.first_stage.evaluating():
            return self.first_stage.encode(x, y).unsqueeze(1).to(torch.uint8)

    def loss(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """``loss``: the prior's on the codes of x, -log prior(codes), ``(B,)`` in nats. In evaluation mode also
        ``distortion`` = -log p(x | codes), and ``elbo`` = -distortion - loss."""
        codes = self.codes(x, y)
        loss = self.prior.loss(codes, y)["loss"]
        if self.training:
            return {"loss": loss}
        distortion = -self.first_stage.decoded_log_prob(x, codes[:, 0], y)
        return {"loss": loss, "elbo": (-distortion - loss).detach(), "distortion": distortion.detach()}

    def bound(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | codes of x) + log prior(codes of x), one term of p(x): the ELBO with a point mass as posterior, of which
        there is nothing to draw. ``(B,)`` in nats."""
        codes = self.codes(x, y)
        return self.first_stage.decoded_log_prob(x, codes[:, 0], y) + self.prior.log_prob(codes, y)

    def draw(
        self, n: int, y: Tensor | None, *, temperature: float | None = None, prior_temperature: float = 1.0
    ) -> Tensor:
        """Codes from the prior, then x ~ p(x | codes).

        Args:
            n: number of examples.
            y: labels ``(n,)``, or None.
            temperature: of p(x | codes), at least 0; None for the first stage's own.
            prior_temperature: of the prior, positive.
        """
        codes = self.prior.sample(n, y, temperature=prior_temperature)
        return self.first_stage.decode(codes[:, 0], y, temperature)

    def draw_with_means(
        self, n: int, y: Tensor | None, *, temperature: float | None = None, prior_temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        codes = self.prior.sample(n, y, temperature=prior_temperature)[:, 0]
        return self.first_stage.decode(codes, y, temperature), self.first_stage.decoded_mean(codes, y)

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.first_stage.reconstruct(x, y)


def freeze(module: nn.Module) -> None:
    """Turn all parameters into buffers of the same names."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach())
