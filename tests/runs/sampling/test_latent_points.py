"""``genexp sample latent=...``: points of the latent space, decoded; wrong requests are one line."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genexp import load
from genexp.record.errors import ConfigError
from genexp.record.folder import RunFolder
from genexp.record.instantiate import instantiate
from genexp.runs.sampling.files import check_options

SAMPLES = "outputs/a/samples"


@pytest.fixture
def trained(finished):
    def call(*more):
        finished("vae", "name=a", "metrics=bound", "metrics.bound.ks=[1]", *more)
        return instantiate(RunFolder("outputs/a").config(), "data", [])

    return call


def decoded(name):
    (latents,) = Path(SAMPLES).glob(f"{name}-best-seed0-*-latents.npy")
    return np.load(str(latents).replace("-latents", "")), np.load(latents)


def test_latent_pictures_of_a_run(genexp, trained):
    data = trained()
    model = load("outputs/a")
    data.prepare_data(), data.setup()
    x, _ = data.examples("test", 10, 0)
    means = model.latent_mean(x).detach()

    names = {path.stem for path in (genexp.folder / SAMPLES).glob("*.png")}
    assert {"final-interpolations", "final-traversals"} <= names
    assert {name[10:] for name in names if name[0] == "0"} == {"", "reconstructions", "interpolations"}

    request = ["sample", "run=outputs/a", "rows=3"]
    steps = [*request, "steps=5"]
    code, out, err = genexp(*steps, "latent=interpolate")
    assert code == 0 and out.count("wrote") == 4, err
    found, z = decoded("interpolate-slerp-test")
    assert found.shape == (3, 5, 1, 8, 8) and z.shape == (3, 5, 4)
    ends = model.conditional_mean(means[:6]).detach().view(3, 2, 1, 8, 8).numpy()
    assert found[:, [0, -1]] == pytest.approx(ends, abs=1e-5)
    assert (found % 1 != 0).any()  # not rounded to levels
    with Image.open(f"{SAMPLES}/interpolate-slerp-test-best-seed0-rows3-steps5.png") as picture:
        assert picture.width >= 7 * 65 + 1 and picture.height > 20 + 3 * 65 + 1
    genexp(*steps, "latent=interpolate", "interpolation=linear")
    straight, points = decoded("interpolate-linear-test")
    assert points[:, 2] == pytest.approx((points[:, 0] + points[:, 4]) / 2, abs=1e-6) and (straight != found).any()
    genexp(*steps, "latent=interpolate", "seed=1", "output=other")
    assert (np.load("other.npy") != found).any()
    genexp(*steps, "latent=interpolate", "+knobs.temperature=1", "output=drawn")
    assert np.load("drawn.npy").dtype == np.uint8

    code, out, err = genexp(*steps, "latent=traverse", "extent=2")
    assert code == 0 and "KL over 250 examples: z" in out, err
    _, z = decoded("traverse-test")
    rates = model.latent_rates(data.tensors("test")[0]).mean(0)
    dims = rates.argsort(descending=True)[:3].tolist()
    assert f"z{dims[0]}  KL {rates[dims[0]]:.2f} nats" in out
    for row, dim in zip(z, dims, strict=True):
        assert row[:, dim].tolist() == [-2, -1, 0, 1, 2]
        assert np.delete(row, dim, 1) == pytest.approx(np.delete(means[:1].expand(5, 4).numpy(), dim, 1), abs=1e-5)
    genexp(*steps, "latent=traverse", "centre=prior", "output=prior")
    assert np.abs(np.delete(np.load("prior-latents.npy")[0], dims[0], 1)).max() < 0.1

    code, out, err = genexp(*request, "latent=reconstruct", "draws=2", "split=validation")
    assert code == 0, err
    assert decoded("reconstruct-validation")[0].shape == (3, 3, 1, 8, 8)

    for wrong, message in {
        "rows=200": "needs 400 examples, and the split test of digits has 250",
        "y=1": "y=1: the model is unconditional",
    }.items():
        code, _, err = genexp(*steps, "latent=interpolate", wrong)
        assert code == 2 and message in err and err.count("\n") == 1, (wrong, err)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            "latent=traversal",
            "latent=traversal: must be one of interpolate, traverse, reconstruct, or null. Did you mean 'traverse'?",
        ),
        ("interpolation=arc", "interpolation=arc: must be one of slerp, linear"),
        ("complete=top", "complete=top latent=interpolate: one of them at a time"),
        ("split=tset", "Did you mean 'test'?"),
        ("rows=0", "rows=0: must be a whole number of at least 1"),
        ("steps=1", "steps=1: must be a whole number of at least 2"),
        ("draws=true", "draws=true: must be a whole number"),
        ("extent=0", "extent=0: must be a number above 0"),
        ("centre=mean", "centre=mean: must be one of example, prior"),
        ("+knobs.temperature=-1", "knobs.temperature=-1: must be"),
    ],
)
def test_requests_are_checked_before_anything_is_loaded(genexp, wrong, message):
    code, _, err = genexp("sample", "run=nothing", "latent=interpolate", wrong)
    assert code == 2 and message in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("model", "knob", "message"),
    [
        ("vae", "temprature", "VAE has the knobs temperature. Did you mean 'temperature'?"),
        ("gan", "temperature", "GAN has no knobs"),  # G(z) is a function of z
    ],
)
def test_a_decoder_takes_its_own_knobs_only(compose_train, model, knob, message):
    model = instantiate(compose_train(f"model={model}", "data=digits"), "model", [])
    with pytest.raises(ConfigError, match=re.escape(f"knobs.{knob}: decoding with {message}")):
        check_options(model.decode, {knob: 0.1}, f"decoding with {type(model).__name__}")


def test_a_conditional_model_decodes_with_the_label_of_the_left_example_or_the_one_given(genexp, trained):
    data = trained("model.conditional=true")
    model = load("outputs/a")
    data.prepare_data(), data.setup()
    x, y = data.examples("test", 4, 0)
    means = model.latent_mean(x, y)
    genexp("sample", "run=outputs/a", "rows=2", "steps=2", "latent=interpolate")
    expected = model.conditional_mean(means, y[[0, 0, 2, 2]]).detach().view(2, 2, 1, 8, 8)
    assert decoded("interpolate-slerp-test")[0] == pytest.approx(expected.numpy(), abs=1e-5)
    genexp("sample", "run=outputs/a", "rows=2", "steps=2", "latent=interpolate", "y=[4,5]", "output=given")
    expected = model.conditional_mean(means, torch.tensor([4, 4, 5, 5])).detach().view(2, 2, 1, 8, 8)
    assert np.load("given.npy") == pytest.approx(expected.numpy(), abs=1e-5)
    assert genexp("sample", "run=outputs/a", "latent=traverse", "y=3")[0] == 0


def test_a_family_without_latent_variables(genexp, finished):
    finished("made", "name=a", "metrics=nll")
    code, _, err = genexp("sample", "run=outputs/a", "latent=traverse")
    assert code == 2 and "latent=traverse: needs LatentVariables, which Autoregressive does not provide" in err
    assert err.count("\n") == 1 and not list(genexp.folder.glob("outputs/a/samples/traverse*"))
