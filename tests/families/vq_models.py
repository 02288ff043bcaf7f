"""A tiny VQ-VAE, whose 2 x 2 grids of 3 codes and whose images can all be enumerated."""

from functools import partial

import torch

from genexp.families.autoregressive import Autoregressive
from genexp.families.two_stage import TwoStage
from genexp.families.vq_vae import VQVAE
from genexp.networks.autoregressive.transformer import Transformer
from genexp.networks.latent.vq_grid import GridDecoder, GridEncoder
from genexp.probability.latent.codebook import GradientCodebook, MovingAverageCodebook
from genexp.probability.observation.base import Bernoulli, Categorical

SIZES = {"channels": 6, "halvings": 1, "blocks": 1}
MOVING = partial(MovingAverageCodebook, size=3, decay=0.9, restart_below=0.1)
GRADIENT = partial(GradientCodebook, size=3)


def make_vq_vae(seed=0, shape=(1, 4, 4), codebook=MOVING, conditional=False, beta=0.25, **changes):
    torch.manual_seed(seed)
    arguments = {
        "shape": shape,
        "levels": 2,
        "num_classes": 2 if conditional else None,
        "conditional": conditional,
        "encoder": partial(GridEncoder, **SIZES),
        "decoder": partial(GridDecoder, **SIZES),
        "codebook": codebook,
        "observation": Bernoulli,
        "latent_dim": 4,
        "beta": beta,
        "temperature": 1.0,
        "optimizer": partial(torch.optim.SGD, lr=0.01),
    }
    model = VQVAE(**{**arguments, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # so that codes and pixels depend on each other
    return model


def make_two_stage(first_stage, seed=1, conditional=False, given=None, **changes):
    torch.manual_seed(seed)
    network = partial(Transformer, depth=1, heads=2, width=8, mlp_ratio=2, dropout=0.0)
    arguments = {
        "shape": first_stage.shape,
        "levels": first_stage.levels,
        "num_classes": 2 if conditional else None,
        "conditional": conditional,
        "first_stage": given or first_stage,
        "first_stage_run": None,
        "first_stage_sha256": None,
        "code_prior": partial(
            Autoregressive, network=network, observation=Categorical, ensemble=1, validation_ensemble=1
        ),
    }
    model = TwoStage(**{**arguments, **changes})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7)
    return model
