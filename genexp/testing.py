"""The contract of every model as checks that a test can call, for a model of your own as for those of genexp:

    from genexp.testing import check_model

    def test_my_model():
        for conditional in (False, True):
            check_model(lambda: MyModel(shape=(1, 8, 8), levels=17, num_classes=10, conditional=conditional, ...))

A check raises ``AssertionError`` and says what is wrong. Each takes ``make``, which builds a fresh model on the CPU; examples
are random ones of its ``shape``, ``levels`` and ``num_classes``. Small models make quick tests.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from genexp.callbacks.clock import Clock
from genexp.families.base import GenerativeModule
from genexp.families.capabilities import (
    AdversarialGame,
    ExactLikelihood,
    ImportanceBound,
    LatentDecoder,
    LatentVariables,
    LikelihoodBound,
    LikelihoodEstimate,
    Reconstruction,
)
from genexp.record import checkpoint

Make = Callable[[], GenerativeModule]
BATCH = 6


def check_model(make: Make) -> None:
    """Everything that is promised of a model: its losses are finite numbers ``(B,)``, every parameter gets a gradient, samples lie
    in the data space and repeat with the seed, wrong requests are refused, labels are honoured if the model is conditional, the
    capabilities keep their word, a checkpoint gives the same model back, and Lightning trains it.

    Args:
        make: builds a fresh model, its optimizers included; called once or twice by each check, after the seed is set.

    Raises:
        AssertionError: what the model does not keep.
    """
    for training in (True, False):
        check_losses(make, training)
    for check in (check_gradients, check_samples, check_seeds, check_refusals, check_labels):
        check(make)
    for check in (check_capabilities, check_checkpoint, check_training):
        check(make)


def check_losses(make: Make, training: bool = True) -> None:
    """``loss`` gives tensors ``(B,)``, all finite; the entry ``loss`` can be differentiated. In training or evaluation mode."""
    model = _seeded(0, make).train(training)
    _require(isinstance(model, GenerativeModule), f"{type(model).__name__} is no GenerativeModule")
    losses = model.loss(*_batch(model))
    differentiable = "loss" in losses and (losses["loss"].requires_grad or not model.is_trained)
    _require(differentiable, "loss() has no entry 'loss' with a gradient")
    for name, value in losses.items():
        _numbers(value, (BATCH,), f"the entry '{name}' of loss()")


def check_gradients(make: Make) -> None:
    """Every parameter has a gradient that is not all 0, and finite. Where only differences of logits mean something in an
    adversarial game, the discriminator's last bias has none."""
    model = _seeded(0, make).train()
    losses = model.loss(*_batch(model))
    if not model.is_trained:
        return
    weighted = [i * v.sum() for i, v in enumerate(losses.values(), 1)]  # the two losses of a zero-sum game cancel
    sum(weighted).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    if isinstance(model, AdversarialGame) and model.objective.boundary is None:
        without = _but_for_the_last_bias(without)
    _require(not without, f"parameters without a gradient: {', '.join(without)}")
    wild = [name for name, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    _require(not wild, f"gradients that are not finite: {', '.join(wild)}")


def check_samples(make: Make) -> None:
    """Samples lie in the data space, whatever their number, and the model accepts them; its mode is as it was."""
    model = _seeded(0, make).train()
    for n in (1, 5):
        x = model.sample(n)
        _in_data_space(x, n, model, f"sample({n})")
        _require(not x.requires_grad, f"sample({n}) carries a gradient")
    _require(model.training, "sample() leaves the model in evaluation mode")
    losses = model.loss(x, None if model.num_classes is None else torch.zeros(5, dtype=torch.long))
    _require(torch.isfinite(losses["loss"]).all(), "the loss of the model's own samples is not finite")


def check_seeds(make: Make) -> None:
    """One seed gives one sample, another gives another."""
    model = _enlarged(_seeded(0, make))
    label = 0 if model.conditional else None
    first, again, other = (_seeded(seed, lambda: model.sample(4, label)) for seed in (1, 1, 2))
    _require(torch.equal(first, again), "sample() differs under one seed")
    _require(not torch.equal(first, other), "sample() is the same under two seeds")


def check_refusals(make: Make) -> None:
    """A ``ValueError`` names numbers, knobs and labels that cannot be right. Unconditional losses overlook labels."""
    model = _seeded(0, make).eval()
    _refused(lambda: model.sample(0), "n=0", "sample(0)")
    _refused(lambda: model.sample(2, no_such_knob=1), "no_such_knob=1: the sampler of", "sample(2, no_such_knob=1)")
    x, y = _batch(model)
    if not model.conditional:
        _refused(lambda: model.sample(2, 1), "unconditional", "sample(2, 1) of an unconditional model")
        with_labels, without = (_seeded(3, lambda y=y: model.loss(x, y)["loss"]) for y in (y, None))
        _require(torch.equal(with_labels, without), "labels change the loss of an unconditional model")
        return
    k = model.num_classes
    for labels in (k, -1, [0, k]):
        _refused(lambda y=labels: model.sample(2, y), rf"must be in \[0, {k - 1}\]", f"sample(2, {labels})")
    for labels in ([0], [0, 1, 2], [[0, 1]]):
        _refused(lambda y=labels: model.sample(2, y), r"must be one label, or \(2,\)", f"sample(2, {labels})")
    _refused(lambda: model.sample(2, [0.5, 1.0]), "whole numbers", "sample(2, [0.5, 1.0])")
    _refused(lambda: model.loss(x), "labels y are needed", "loss(x) of a conditional model")


def check_labels(make: Make) -> None:
    """Labels, one for all or one each, change samples and losses of a conditional model; where none are given, they are drawn."""
    model, n = _enlarged(_seeded(0, make)), 16
    if not model.conditional:
        return
    k = model.num_classes
    requests = (0, 1, [0] * n, torch.zeros(n, dtype=torch.long))
    zero, one, *zeros = (_seeded(1, lambda y=y: model.sample(n, y)) for y in requests)
    _require(not torch.equal(zero, one), "labels 0 and 1 give the same samples: sample() ignores them")
    _require(all(torch.equal(zero, x) for x in zeros), "a label for all and the same label each give other samples")
    x, _ = _batch(model)
    seen = [_seeded(1, lambda y=y: model.loss(x, torch.full((BATCH,), y))["loss"]) for y in (0, 1)]
    _require(not torch.allclose(*seen), "labels 0 and 1 give the same losses: loss() ignores them")
    given: list[Tensor] = []
    model.draw = lambda n, y: given.append(y)
    for y in ([1, 0, k - 1], k - 1, None):
        model.sample(3, y)
    each, same, drawn = given
    _require(each.tolist() == [1, 0, k - 1] and same.tolist() == [k - 1] * 3, "draw() gets other labels than asked for")
    _require(drawn.shape == (3,) and drawn.dtype == torch.int64, "without labels, draw() must get int64 labels (n,)")
    _require(0 <= drawn.min() <= drawn.max() < k, "without labels, draw() gets labels out of range")


@torch.no_grad()
def check_capabilities(make: Make) -> None:
    """What the capabilities among the model's base classes give has the shape and the range that they say, and an exact
    likelihood is the same in every batch and every time."""
    model = _seeded(0, make).eval()
    x, y = _batch(model)
    checks = {
        ExactLikelihood: _exact_likelihood,
        LikelihoodBound: _likelihood_bound,
        ImportanceBound: _importance_bound,
        LikelihoodEstimate: _likelihood_estimate,
        LatentDecoder: _latent_decoder,
        LatentVariables: _latent_variables,
        Reconstruction: _reconstruction,
    }
    for capability, check in checks.items():
        if isinstance(model, capability):
            check(model, x, y)


def _exact_likelihood(model: Any, x: Tensor, y: Tensor | None) -> None:
    value = _log_probability(model.log_prob(x, y), model, "log_prob")
    _require(torch.equal(value, model.log_prob(x, y)), "log_prob differs from one call to the next")
    part = model.log_prob(x[2:4], None if y is None else y[2:4])
    _require(torch.allclose(value[2:4], part, atol=1e-3), "log_prob of an example depends on the others of its batch")


def _likelihood_bound(model: Any, x: Tensor, y: Tensor | None) -> None:
    _log_probability(model.bound(x, y), model, "bound")


def _importance_bound(model: Any, x: Tensor, y: Tensor | None) -> None:
    for k in (1, 5):
        _log_probability(model.bound(x, y, k=k), model, f"bound with k={k}")
    _refused(lambda: model.bound(x, y, k=0), "k=0", "bound with k=0")


def _likelihood_estimate(model: Any, x: Tensor, y: Tensor | None) -> None:
    _log_probability(model.log_prob_estimate(x, y), model, "log_prob_estimate")


def _latent_decoder(model: Any, x: Tensor, y: Tensor | None) -> None:
    z = _numbers(model.sample_prior(BATCH), (BATCH, model.latent_dim), "sample_prior")
    for name, shown in (("decode", model.decode(z, y)), ("conditional_mean", model.conditional_mean(z, y))):
        _numbers(shown, x.shape, name)
        _require(model.levels is None or 0 <= shown.min() <= shown.max() <= model.levels - 1, f"{name} is out of range")


def _latent_variables(model: Any, x: Tensor, y: Tensor | None) -> None:
    z, log_q = model.infer(x, y, k=2)
    _numbers(z, (2, BATCH, model.latent_dim), "z of infer")
    _numbers(log_q, (2, BATCH), "log q of infer")
    _numbers(model.latent_mean(x, y), (BATCH, model.latent_dim), "latent_mean")
    _numbers(model.log_prior(z), (2, BATCH), "log_prior")
    _numbers(model.log_conditional(x, z.flatten(0, 1), y), (2 * BATCH,), "log_conditional")


def _reconstruction(model: Any, x: Tensor, y: Tensor | None) -> None:
    _in_data_space(model.reconstruct(x, y), BATCH, model, "reconstruct")


def check_checkpoint(make: Make) -> None:
    """A checkpoint, without pickled objects, gives another model all parameters, buffers and counts, and so the same samples."""
    model, other = _enlarged(_seeded(0, make)), _seeded(1, make)
    model.steps, model.images_seen = 7, 448
    saved: dict[str, Any] = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(saved)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(saved, Path(folder) / "x.ckpt")
        loaded = checkpoint.load(Path(folder) / "x.ckpt")
    other.load_state_dict(loaded["state_dict"])
    other.on_load_checkpoint(loaded)
    _require((other.steps, other.images_seen) == (7, 448), "a checkpoint does not give steps and images_seen back")
    state = other.state_dict()
    differs = [name for name, value in model.state_dict().items() if not torch.equal(value, state[name])]
    _require(not differs, f"a loaded model has another {', '.join(differs)} than the saved one")
    samples = [_seeded(2, lambda m=m: m.sample(3)) for m in (model, other)]
    _require(torch.equal(*samples), "a loaded model has other samples: its state is not all in state_dict()")


def check_training(make: Make) -> None:
    """Lightning trains the model for two steps, which it counts, as the images; every parameter moves, but perhaps the
    discriminator's last bias in an adversarial game, and the validation loss is finite."""
    model = _seeded(0, make)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batches = 2 * model.batches_per_step
    examples = DataLoader([_batch(model, 8, seed) for seed in range(batches + 1)], batch_size=None)
    clock = Clock(seed=0, max_images=None, max_steps=2, max_epochs=None)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    length = {"max_epochs": -1, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    trainer = Trainer(accelerator="cpu", callbacks=[clock], **length, **quiet)
    trainer.fit(model, examples, examples)
    seen = trainer.fit_loop.total_batch_idx + 1
    _require((model.steps, seen) == (2, batches), f"{model.steps} steps after {seen} batches, not 2 after {batches}")
    _require(model.images_seen == 8 * batches, f"{model.images_seen} images counted of {8 * batches}")
    _require(torch.isfinite(trainer.callback_metrics["val/loss"]), "val/loss is not finite after two steps")
    still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    # the gradients of a constant added to all logits cancel where the losses are linear in these
    if isinstance(model, AdversarialGame):
        still = _but_for_the_last_bias(still)
    _require(not still, f"parameters that two steps of training do not move: {', '.join(still)}")


def _require(holds: Any, text: str) -> None:
    if not holds:
        raise AssertionError(text)


def _refused(call: Callable[[], Any], pattern: str, what: str) -> None:
    try:
        call()
    except ValueError as error:
        return _require(re.search(pattern, str(error)), f"{what} is refused with '{error}', which lacks '{pattern}'")
    raise AssertionError(f"{what} is not refused with a ValueError")


def _numbers(value: Tensor, shape: tuple[int, ...], what: str) -> Tensor:
    _require(value.shape == shape, f"{what} has shape {tuple(value.shape)}, not {tuple(shape)}")
    _require(torch.isfinite(value).all(), f"{what} is not finite")
    return value


def _log_probability(value: Tensor, model: GenerativeModule, what: str) -> Tensor:
    _numbers(value, (BATCH,), what)
    _require(model.levels is None or (value < 0).all(), f"{what} of discrete data is not below 0")
    return value


def _in_data_space(x: Tensor, n: int, model: GenerativeModule, what: str) -> None:
    _numbers(x, (n, *model.shape), what)
    dtype = torch.float32 if model.levels is None else torch.uint8
    _require(x.dtype == dtype, f"{what} has dtype {x.dtype}, not {dtype}")
    _require(model.levels is None or x.max() < model.levels, f"{what} has values of levels={model.levels} or more")


def _but_for_the_last_bias(names: list[str]) -> list[str]:
    return [] if len(names) == 1 and re.fullmatch(r"discriminator\..*\bbias", names[0]) else names


def _seeded(seed: int, call: Callable[[], Any]) -> Any:
    torch.manual_seed(seed)
    return call()


def _batch(model: GenerativeModule, n: int = BATCH, seed: int = 1) -> tuple[Tensor, Tensor | None]:
    draws = torch.Generator().manual_seed(seed)
    y = None if model.num_classes is None else torch.randint(model.num_classes, (n,), generator=draws)
    if model.levels is None:
        return torch.randn(n, *model.shape, generator=draws), y
    return torch.randint(model.levels, (n, *model.shape), generator=draws).to(torch.uint8), y


@torch.no_grad()
def _enlarged(model: GenerativeModule) -> GenerativeModule:
    """Parameters, frozen ones too, so large that what is drawn depends on all that it is given, and not so large that the outputs
    of many layers leave nothing to chance. Those that are larger already, such as of equalised layers, stay. Without parameters,
    what random examples make of the model."""
    torch.manual_seed(5)
    if not model.is_trained:
        model.initialise(*_batch(model, 100))
    frozen = (buffer for name, buffer in model.named_buffers() if re.search(r"\b(weight|bias)$", name))
    for parameter in (*model.parameters(), *frozen):
        size = min(0.4, max(0.1, parameter.shape[1:].numel() ** -0.5))
        if parameter.std(correction=0) < size:
            parameter.normal_(0, size)
    return model
