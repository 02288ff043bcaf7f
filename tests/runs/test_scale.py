"""Accumulation, precision, clipping and activation checkpointing change how a run is computed and not what it learns."""

import csv
from functools import partial

import pytest
import torch
from pytorch_lightning import Trainer
from tiny_overrides import NETS

from genexp.callbacks.clock import Clock
from genexp.callbacks.finite import Finite
from genexp.families.gan import GAN
from genexp.networks.mlp import MLPDiscriminator, MLPGenerator
from genexp.probability.adversarial.objectives import NonSaturating
from genexp.record import checkpoint
from genexp.record.instantiate import instantiate
from genexp.runs import trainer as scale
from genexp.runs.train_config import Training

SHORT = [
    "metrics=fidelity",
    "metrics.fidelity.n=20",
    "metrics.fidelity.kid_subset_size=10",
    "metrics.fidelity.is_splits=2",
]
SHORT += ["training.log_every_steps=1", "training.max_images=null", "training.max_epochs=2", "samples.n=4"]


@pytest.fixture
def curves(genexp, tiny):
    """The history of a short run of a model, by metric, and its last checkpoint."""

    def run(model, name, *overrides):
        code, _, err = genexp(*tiny(model, *SHORT, *overrides, f"name={name}"))
        assert code == 0, err
        history = {}
        with open(f"outputs/{name}/metrics.csv") as file:
            for row in csv.DictReader(file):
                history.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"])))
        return history, checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt")

    return run


@pytest.mark.parametrize("model", ["made", "gated_pixelcnn", "vae", "gan"])
def test_four_batches_a_step_are_one_batch_of_four_times_the_size(curves, model):
    """Also in the last step of an epoch, of two batches here. (With batch normalisation each batch has its statistics.)"""
    more = ["data.limit=224", *(["model.network.num_masks=8"] if model == "made" else [])]
    whole, _ = curves(model, "whole", "training.batch_size=64", *more)
    parts, end = curves(model, "parts", "training.batch_size=16", "training.accumulate_batches=4", *more)
    assert (end["steps"], end["images_seen"]) == (8, 448)
    assert parts.keys() == whole.keys() and len(whole["train/loss"]) == 8
    for metric in whole:
        assert [step for step, _ in parts[metric]] == [step for step, _ in whole[metric]]
        if metric == "train/fake_spread":  # over each batch
            continue
        assert [v for _, v in parts[metric]] == pytest.approx([v for _, v in whole[metric]], rel=1e-4), metric


@pytest.mark.parametrize("model", sorted(NETS))
def test_bfloat16_learns_about_the_same(curves, model):
    full, _ = curves(model, "full", "data.limit=256")
    half, end = curves(model, "half", "data.limit=256", "trainer.precision=bf16-mixed")
    for metric in ("train/loss", "val/loss"):
        assert [v for _, v in half[metric]] == pytest.approx([v for _, v in full[metric]], rel=0.03), metric
    assert half["train/loss"] != full["train/loss"]
    assert all(v.dtype in (torch.float32, torch.int64) for v in end["state_dict"].values())


def test_activation_checkpointing_changes_nothing_but_the_memory(curves, compose_train):
    deep = ["model.network.dilations=[1,2,1,2,1,2]", "data.limit=128"]
    plain, a = curves("gated_pixelcnn", "plain", *deep)
    recomputed, b = curves("gated_pixelcnn", "recomputed", *deep, "training.activation_checkpointing=true")
    assert plain == recomputed
    assert a["state_dict"].keys() == b["state_dict"].keys()
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in a["state_dict"])

    held = {}
    for flag in ("false", "true"):
        config = compose_train(
            "model=gated_pixelcnn", "data=digits", *deep, f"training.activation_checkpointing={flag}"
        )
        model = instantiate(config, "model", [])
        scale.apply(Training.of(config), model)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: s.append(t.nbytes) or t, lambda t: t):
            model.loss(torch.zeros(8, 1, 8, 8, dtype=torch.uint8))["loss"].mean().backward()
        held[flag] = sum(sizes)
    assert held["true"] < held["false"] / 3


def test_batch_normalisation_is_never_recomputed(compose_train):
    config = compose_train("model=vae_conv", "data=mnist5k", "model.encoder.batch_norm=true")
    model = instantiate(config, "model", [])
    parts = scale.recomputable(model)
    assert parts == [model.decoder.layers]


def test_spectral_normalisation_is_never_recomputed(compose_train):
    config = compose_train("model=dcgan", "data=mnist5k", "model.discriminator.batch_norm=false")
    for spectral_norm in (False, True):
        config.model.discriminator.spectral_norm = spectral_norm
        model = instantiate(config, "model", [])
        assert scale.recomputable(model) == ([] if spectral_norm else [model.discriminator.layers])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["trainer.precision=bf16-mixd"], "trainer.precision=bf16-mixd: must be one of 32-true, bf16-mixed, 16-mixed"),
        (["trainer.precision=16-mixed"], "trainer.precision=16-mixed needs a GPU"),
        (["+trainer.strategy=dpp"], "Did you mean 'ddp'?"),
        (["trainer.devices=2"], "2 processes need one; use trainer=ddp or trainer=fsdp"),
        (["training.accumulate_batches=0"], "training.accumulate_batches=0: must be a whole number"),
        (["training.activation_checkpointing=true"], "Autoregressive has no part that could be recomputed"),
        (["trainer=fsdp", "trainer.accelerator=cpu", "trainer.devices=2"], "use trainer=ddp"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_training(genexp, tiny, overrides, line):
    model = "made" if "Autoregressive" in line else "dcgan"
    code, _, err = genexp(*tiny(model, "name=a", *overrides))
    assert code == 2 and line in err and len(err.strip().splitlines()) == 1
    assert not (genexp.folder / "outputs/a").exists()


# --- the players of a GAN ----------------------------------------------------------------------------


def make_gan(rate):
    mlp = {"hidden": [8], "activation": torch.nn.Tanh(), "initialisation": None, "normalisation": None}
    torch.manual_seed(0)
    return GAN(
        shape=(2,),
        levels=None,
        num_classes=None,
        conditional=False,
        generator=partial(MLPGenerator, **mlp),
        discriminator=partial(MLPDiscriminator, projection=False, spectral_norm=False, **mlp),
        objective=NonSaturating(),
        penalties={},
        augmentation=None,
        auxiliary=None,
        latent_dim=2,
        packing=1,
        discriminator_steps=1,
        generator_batches=1,
        simultaneous=False,
        weight_clip=None,
        generator_optimizer=partial(torch.optim.SGD, lr=rate),
        discriminator_optimizer=partial(torch.optim.SGD, lr=rate),
    )


def fit(model, batches, *plugins):
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[Clock(0, None, None, None), Finite(None)],
        plugins=list(plugins),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = [(torch.randn(16, 2, generator=torch.Generator().manual_seed(i)), torch.zeros(16)) for i in range(batches)]
    loader = torch.utils.data.DataLoader(data, batch_size=None)
    trainer.fit(model, loader, loader)
    return trainer


def moved(model, before, player):
    return sum(float((v - before[k]).norm() ** 2) for k, v in model.state_dict().items() if k.startswith(player)) ** 0.5


def test_an_overflow_of_one_player_skips_its_step_alone_and_lowers_its_scale_alone():
    model = make_gan(1e-2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plugin = scale.ScalerPerOptimizer("cpu", 2)
    plugin.scalers = [torch.amp.GradScaler("cpu", init_scale=size) for size in (8.0, 2.0**40)]
    trainer = fit(model, 1, plugin)
    assert moved(model, before, "generator") > 0 and moved(model, before, "discriminator") == 0  # and has not diverged
    assert [scaler.get_scale() for scaler in plugin.scalers] == [8.0, 2.0**39]

    saved = trainer._checkpoint_connector.dump_checkpoint()["ScalerPerOptimizer"]
    other = scale.ScalerPerOptimizer("cpu", 2)
    other.load_state_dict(saved)
    assert [scaler.get_scale() for scaler in other.scalers] == [8.0, 2.0**39]


def test_float16_moves_both_players_about_as_float32_does():
    found = []
    for plugins in ((), (scale.ScalerPerOptimizer("cpu", 2),)):
        model = make_gan(1e-2)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        if plugins:
            plugins[0].scalers = [torch.amp.GradScaler("cpu", init_scale=64.0) for _ in range(2)]
        fit(model, 5, *plugins)
        found.append([moved(model, before, player) for player in ("generator", "discriminator")])
    assert found[1] == pytest.approx(found[0], rel=0.05) and found[1] != found[0]


def test_the_gradient_of_each_player_is_clipped(compose_train):
    for norm, expected in {
        "null": {"generator": None, "discriminator": None},
        "1e-3": {"generator": 1e-3, "discriminator": 1e-3},
        "{generator: 1e-3, discriminator: 1e-2}": {"generator": 1e-3, "discriminator": 1e-2},
        "{discriminator: 1e-2}": {"generator": None, "discriminator": 1e-2},
    }.items():
        model = make_gan(1.0)
        scale.apply(Training.of(compose_train("model=gan", "data=toy", f"training.gradient_clip_norm={norm}")), model)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        fit(model, 1)
        for player in ("generator", "discriminator"):
            if expected[player] is None:
                assert moved(model, before, player) > 2e-2
            else:
                assert moved(model, before, player) == pytest.approx(expected[player], rel=1e-2)


@pytest.mark.parametrize(
    ("model", "norm", "line"),
    [
        ("made", "{generator: 1}", "Autoregressive has one optimizer; give one number"),
        ("made", "0", "training.gradient_clip_norm=0: must be positive, or null"),
        (
            "gan",
            "{genrator: 1}",
            "training.gradient_clip_norm=genrator: must be one of generator, discriminator. Did you",
        ),
        ("gan", "{generator: much}", "training.gradient_clip_norm.generator=much: must be a number, or null"),
    ],
)
def test_norms_that_cannot_be_are_refused(genexp, tiny, model, norm, line):
    code, _, err = genexp(*tiny(model, "name=a", f"training.gradient_clip_norm={norm}"))
    assert code == 2 and line in err and err.count("\n") == 1, err
