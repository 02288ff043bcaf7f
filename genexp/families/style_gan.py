"""A GAN whose generator has a mapping network: StyleGAN2 (Karras et al., CVPR 2020)."""

from typing import Any

import torch
from torch import Tensor

from genexp.families.gan import GAN, Batch
from genexp.probability.adversarial.path_length import PathLength
from genexp.probability.quantize import from_symmetric, symmetric_to_levels


class StyleGAN(GAN):
    """A GAN whose generator is a :class:`~genexp.networks.adversarial.stylegan2.StyleGenerator`: z becomes w, and w the image.

    Args:
        path_length: penalty on the generator's Jacobian, or None. It is taken in every ``path_length.every``-th update, then with
            so many times the weight, on images of its own, half a batch of them as in the authors' code.
        gan: see :class:`GAN`.
    """

    def __init__(self, *, path_length: PathLength | None, **gan: Any) -> None:
        super().__init__(**gan)
        self.path_length = path_length
        self.differentiates_twice |= path_length is not None

    def generator_penalties(self, batch: Batch, draw: int) -> dict[str, Tensor]:
        if self.path_length is None:
            return {}
        if self.steps % self.path_length.every:
            return {"path_length": batch.real.new_zeros(())}
        half = -(-len(batch.z) // 2)
        w = self.generator.styles(batch.z[:half, draw], None if batch.y is None else batch.y[:half])
        penalty = self.path_length(self.generator.synthesis(w), w)
        return {"path_length": self.path_length.every * penalty}

    def draw(self, n: int, y: Tensor | None, *, psi: float = 1.0) -> Tensor:
        """x = G(w), rounded to the nearest level.

        Args:
            n, y: see :meth:`GenerativeModule.sample`.
            psi: w is moved towards its mean, to mean + psi (w - mean): smaller values trade variety for quality (Karras, Laine,
                Aila 2019, appendix B).
        """
        w = self.generator.mapping.truncate(self.generator.mapping(self.sample_prior(n), y), psi)
        return from_symmetric(self.generator.synthesis(w), self.levels)

    @torch.no_grad()
    def conditional_mean(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """G(z, y) without the noise inputs, before it is rounded."""
        return symmetric_to_levels(self.generator.synthesis(self.generator.mapping(z, y), noise=False), self.levels)
