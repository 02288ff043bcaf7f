"""A model whose evidence, posteriors and aggregate posterior are Gaussians."""

from functools import partial

import torch
from torch import nn

from genexp.families.vae import VAE
from genexp.probability.latent.posteriors import DiagonalGaussian
from genexp.probability.latent.priors import StandardNormal
from genexp.probability.observation.base import Normal

NOISE = 0.5


class Encoder(nn.Module):
    """q(z_d | x) = N(slope_d x_d, std_d^2)."""

    def __init__(self, slope, std):
        super().__init__()
        self.slope, self.std = nn.Parameter(torch.tensor(slope)), torch.tensor(std)

    def forward(self, x, y):
        return torch.cat([x * self.slope, self.std.log().expand_as(x)], dim=1)


class Decoder(nn.Module):
    """p(x_d | z_d) = N(weight_d z_d, NOISE^2)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, z, y):
        mean = z * self.weight
        return torch.stack([mean, torch.full_like(mean, NOISE).log()], dim=1)


def linear_gaussian(slope, std, weight, posterior=DiagonalGaussian):
    dims = len(slope)
    return VAE(
        shape=(dims,),
        levels=None,
        num_classes=None,
        conditional=False,
        encoder=lambda **sizes: Encoder(slope, std),
        decoder=lambda **sizes: Decoder(weight),
        observation=lambda levels: Normal(levels, min_log_std=-5.0),
        posterior=partial(posterior, log_std_range=None),
        prior=StandardNormal,
        latent_dim=dims,
        beta=1.0,
        k=1,
        kl_warmup_images=0,
        free_bits=0.0,
        doubly_reparameterised=False,
        temperature=1.0,
        chunk=1000,
    )
