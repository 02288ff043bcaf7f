"""Small GANs on two dimensions, and their training."""

from functools import partial

import torch
from pytorch_lightning import Callback, Trainer

from genexp.callbacks.clock import Clock
from genexp.families.gan import GAN
from genexp.networks.mlp import MLPDiscriminator, MLPGenerator
from genexp.probability.adversarial.objectives import NonSaturating


def make(objective=None, conditional=False, levels=None, seed=0, **options):
    mlp = {"hidden": [8], "activation": torch.nn.Tanh(), "initialisation": None}
    torch.manual_seed(seed)
    settings = {"penalties": {}, "augmentation": None, "auxiliary": None, "packing": 1, "discriminator_steps": 1}
    settings |= {"generator_batches": 1, "simultaneous": False, "weight_clip": None}
    return GAN(
        shape=(2,),
        levels=levels,
        num_classes=3,
        conditional=conditional,
        generator=partial(MLPGenerator, normalisation=None, **mlp),
        discriminator=partial(MLPDiscriminator, projection=False, spectral_norm=False, **mlp),
        objective=objective or NonSaturating(),
        latent_dim=2,
        generator_optimizer=partial(torch.optim.Adam, lr=1e-2),
        discriminator_optimizer=partial(torch.optim.Adam, lr=2e-2),
        **(settings | options),
    )


def batches(n, levels=None):
    draws = torch.Generator().manual_seed(1)
    xs = [torch.randint(levels or 9, (16, 2), generator=draws) for _ in range(n)]
    return [(x.float() if levels is None else x.to(torch.uint8), torch.arange(16) % 3) for x in xs]


class Seen(Callback):
    """What each training step returned."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, *_):
        if outputs:
            self.seen.append(outputs)


def fit(model, data, max_epochs=1, max_steps=None):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        callbacks=[Clock(0, None, max_steps, None), Seen()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    trainer.fit(model, loader, loader)
    return trainer
