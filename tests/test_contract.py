"""What every model in ``conf/model`` promises, on tiny data, as the configs make it."""

import re
from importlib.resources import files

import pytest
import torch
from pytorch_lightning import Trainer

from genexp.callbacks.clock import Clock
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import (
    ExactLikelihood,
    LatentDecoder,
    LatentVariables,
    LikelihoodBound,
    Reconstruction,
)
from genexp.families.gan import GAN
from genexp.families.two_stage import TwoStage
from genexp.networks.adversarial.style_layers import EqualisedConv2d, EqualisedLinear
from genexp.probability.adversarial.objectives import RelativisticPaired
from genexp.record import checkpoint
from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate

CONFIGS = {file.name[:-5]: file.read_text() for file in (files("genexp.conf") / "model").iterdir() if file.is_file()}
ANY_LEVELS = "mlp|made|masked_mlp|fvsbn|nade"
ROOM = r"networks\.(autoregressive\.)?"
VECTORS = [name for name, text in CONFIGS.items() if re.search(rf"{ROOM}({ANY_LEVELS}|transformer|wavenet)", text)]
"""Models of data of any shape."""
CONTINUOUS = [name for name, text in CONFIGS.items() if re.search(rf"{ROOM}({ANY_LEVELS})", text)]
"""Models of data without levels, too."""
CASES = [f"{name}-{kind}" for name in sorted(CONFIGS) for kind in ("plain", "conditional")]
CASES += [f"{name}-continuous" for name in sorted(CONTINUOUS)]
BATCH = 6
every_case = pytest.mark.parametrize("case", CASES)


def test_there_are_models():
    assert len(CONFIGS) > 0 and len(VECTORS) > 0


@pytest.fixture(scope="module")
def config_of(compose_train):
    def make(case):
        name, kind = case.split("-")
        overrides = [f"model={name}", "data=digits", "training.batch_size=8"]
        if kind == "conditional":
            overrides.append("model.conditional=true")
        if kind == "continuous":
            overrides[1] = "data=toy"
            overrides += ["model/observation=normal"] if "observation:" in CONFIGS[name] else []
        return compose_train(*overrides)

    return make


@pytest.fixture
def make_model(config_of):
    def make(case, seed=0):
        torch.manual_seed(seed)
        return instantiate(config_of(case), "model", [])

    return make


def batch_for(model):
    draws = torch.Generator().manual_seed(1)
    y = None if model.num_classes is None else torch.randint(model.num_classes, (BATCH,), generator=draws)
    if model.levels is None:
        return torch.randn(BATCH, *model.shape, generator=draws), y
    return torch.randint(model.levels, (BATCH, *model.shape), generator=draws).to(torch.uint8), y


def enlarge(model):
    """Parameters so large that whatever is drawn depends on all that it is given, and not so large that the outputs of
    many layers leave nothing to chance."""
    torch.manual_seed(5)
    frozen = model.first_stage.buffers() if isinstance(model, TwoStage) else ()
    equalised = {p for m in model.modules() if isinstance(m, EqualisedLinear | EqualisedConv2d) for p in m.parameters()}
    with torch.no_grad():
        for parameter in (*model.parameters(), *frozen):
            if parameter not in equalised:  # these are scaled where they are used
                parameter.normal_(0, min(0.4, max(0.1, parameter.shape[1:].numel() ** -0.5)))
    return model


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_losses_are_one_finite_number_for_each_example(make_model, case, training):
    model = make_model(case).train(training)
    assert isinstance(model, GenerativeModule)
    losses = model.loss(*batch_for(model))
    assert "loss" in losses and losses["loss"].requires_grad
    for name, value in losses.items():
        assert value.shape == (BATCH,) and torch.isfinite(value).all(), name


@every_case
def test_every_parameter_gets_a_gradient(make_model, case):
    model = make_model(case).train()
    losses = model.loss(*batch_for(model))
    weighted = [i * v.sum() for i, v in enumerate(losses.values(), 1)]  # the two losses of a zero-sum game cancel
    sum(weighted).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    if isinstance(model, GAN) and isinstance(model.objective, RelativisticPaired):  # knows differences of logits only
        assert without.pop().endswith(".bias")
    assert not without
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@every_case
def test_samples_lie_in_the_data_space(make_model, case):
    model = make_model(case).train()
    for n in (1, 5):
        x = model.sample(n)
        assert x.shape == (n, *model.shape) and not x.requires_grad
        assert x.dtype == (torch.float32 if model.levels is None else torch.uint8)
        assert torch.isfinite(x).all() if model.levels is None else int(x.max()) < model.levels
    assert model.training  # the mode is as it was
    losses = model.loss(x, None if model.num_classes is None else torch.zeros(5, dtype=torch.long))
    assert torch.isfinite(losses["loss"]).all()  # a model accepts its own samples


@every_case
def test_a_seed_repeats_a_sample_and_another_does_not(make_model, case):
    model, samples = enlarge(make_model(case)), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        samples.append(model.sample(4))
    assert torch.equal(samples[0], samples[1]) and not torch.equal(samples[0], samples[2])


@every_case
def test_wrong_requests_are_refused(make_model, case):
    model = make_model(case).eval()
    with pytest.raises(ValueError, match="n=0"):
        model.sample(0)
    with pytest.raises(ValueError, match="no_such_knob=1: the sampler of"):
        model.sample(2, no_such_knob=1)
    x, y = batch_for(model)
    if not model.conditional:
        with pytest.raises(ValueError, match="unconditional"):
            model.sample(2, 1)
        torch.manual_seed(3)
        with_labels = model.loss(x, y)["loss"]
        torch.manual_seed(3)
        assert torch.equal(with_labels, model.loss(x)["loss"])
        return
    for labels in (10, -1, [0, 10]):
        with pytest.raises(ValueError, match=r"must be in \[0, 9\]"):
            model.sample(2, labels)
    for labels in ([0], [0, 1, 2], [[0, 1]]):
        with pytest.raises(ValueError, match=r"must be one label, or \(2,\)"):
            model.sample(2, labels)
    with pytest.raises(ValueError, match="whole numbers"):
        model.sample(2, [0.5, 1.0])
    with pytest.raises(ValueError, match="labels y are needed"):
        model.loss(x)


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("conditional")])
def test_labels_are_honoured(make_model, case, monkeypatch):
    model, samples = enlarge(make_model(case)), []
    n = 16
    for y in (0, 1, [0] * n, torch.zeros(n, dtype=torch.long)):
        torch.manual_seed(1)
        samples.append(model.sample(n, y))
    assert not torch.equal(samples[0], samples[1])
    assert torch.equal(samples[0], samples[2]) and torch.equal(samples[0], samples[3])
    x, seen = batch_for(model)[0], []
    for y in (0, 1):
        torch.manual_seed(1)
        seen.append(model.loss(x, torch.full((BATCH,), y))["loss"])
    assert not torch.allclose(*seen)
    given = []
    monkeypatch.setattr(model, "draw", lambda n, y: given.append(y))
    for y in ([3, 1, 4], 7, None):
        model.sample(3, y)
    assert given[0].tolist() == [3, 1, 4] and given[1].tolist() == [7, 7, 7]
    assert given[2].shape == (3,) and given[2].dtype == torch.int64 and 0 <= given[2].min() <= given[2].max() < 10


@every_case
def test_capabilities_keep_their_word(make_model, case):
    model = make_model(case).eval()
    x, y = batch_for(model)
    with torch.no_grad():
        if isinstance(model, ExactLikelihood):
            value = model.log_prob(x, y)
            assert value.shape == (BATCH,) and torch.isfinite(value).all() and torch.equal(value, model.log_prob(x, y))
            assert torch.allclose(value[2:4], model.log_prob(x[2:4], None if y is None else y[2:4]), atol=1e-3)
            assert model.levels is None or (value < 0).all()
        if isinstance(model, LikelihoodBound):
            for k in (1, 5):
                value = model.bound(x, y, k=k)
                assert value.shape == (BATCH,) and torch.isfinite(value).all()
                assert model.levels is None or (value < 0).all()
            with pytest.raises(ValueError, match="k=0"):
                model.bound(x, y, k=0)
        if isinstance(model, LatentDecoder):
            z = model.sample_prior(BATCH)
            assert z.shape == (BATCH, model.latent_dim)
            for shown in (model.decode(z, y, 1.0), model.conditional_mean(z, y)):
                assert shown.shape == x.shape and torch.isfinite(shown).all()
                assert model.levels is None or 0 <= float(shown.min()) <= float(shown.max()) <= model.levels - 1
        if isinstance(model, LatentVariables):
            z, log_q = model.infer(x, y, k=2)
            assert z.shape == (2, BATCH, model.latent_dim) and log_q.shape == (2, BATCH)
            assert model.latent_mean(x, y).shape == (BATCH, model.latent_dim)
            values = model.log_prior(z).sum(0), model.log_conditional(x, z.flatten(0, 1), y).view(2, BATCH).sum(0)
            assert all(value.shape == (BATCH,) and torch.isfinite(value).all() for value in values)
        if isinstance(model, Reconstruction):
            again = model.reconstruct(x, y)
            assert again.shape == x.shape and again.dtype == x.dtype
            assert model.levels is None or int(again.max()) < model.levels


@every_case
def test_save_and_load_give_the_same_model(make_model, case, tmp_path):
    model, other = make_model(case, seed=0), make_model(case, seed=1)
    model.steps, model.images_seen = 7, 448
    saved = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(saved)
    checkpoint.save(saved, tmp_path / "x.ckpt")
    loaded = checkpoint.load(tmp_path / "x.ckpt")
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    other.load_state_dict(loaded["state_dict"])
    other.on_load_checkpoint(loaded)
    assert (other.steps, other.images_seen) == (7, 448)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    samples = []
    for one in (model, other):
        torch.manual_seed(2)
        samples.append(one.sample(3))
    assert torch.equal(*samples)


@every_case
def test_two_steps_of_training(config_of, make_model, case):
    model, data = make_model(case), instantiate(config_of(case), "data", [])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        limit_val_batches=1,
        callbacks=[Clock(seed=0, max_images=None, max_steps=2, max_epochs=None)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, datamodule=data)
    batches = 2 * model.batches_per_step
    assert model.steps == 2 and trainer.fit_loop.total_batch_idx + 1 == batches and model.images_seen == 8 * batches
    assert torch.isfinite(trainer.callback_metrics["val/loss"])
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    # the gradients of a constant added to all logits cancel where the losses are linear in these
    assert not still or (isinstance(model, GAN) and len(still) == 1 and re.match(r"discriminator\..*\.bias", still[0]))


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_data_that_do_not_fit_are_refused_in_one_line(compose_train, name):
    if name not in VECTORS:
        with pytest.raises(ConfigError, match=r"data\.shape"):
            instantiate(compose_train(f"model={name}", "data=uci_dna"), "model", [])
    with pytest.raises(ConfigError, match="needs data with labels"):
        instantiate(compose_train(f"model={name}", "data=mnist_binary", "model.conditional=true"), "model", [])
    with pytest.raises(ConfigError, match="levels=1"):
        instantiate(compose_train(f"model={name}", "data=digits", "data.levels=1"), "model", [])
