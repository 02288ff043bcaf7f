"""Training that makes a model far worse than it was says so; measuring the untrained one changes nothing."""

from types import SimpleNamespace

import pytest
import torch

from genexp.callbacks.untrained import Untrained
from genexp.record.instantiate import instantiate


@pytest.fixture
def trainer(compose_train):
    config = compose_train("model=vae", "data=digits", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]")
    data = instantiate(config, "data", [])
    data.prepare_data()
    data.setup()
    module = instantiate(config, "model", [])
    return SimpleNamespace(datamodule=data, callback_metrics={}, is_global_zero=True, lightning_module=module)


def test_measuring_changes_nothing_and_is_the_same_every_time(trainer):
    model = trainer.lightning_module.train()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    losses = []
    for _ in range(2):
        callback = Untrained(0, lambda line: None)
        callback.on_train_start(trainer, model)
        losses.append(callback.loss)
    assert losses[0] == losses[1] > 0 and model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_it_tells_once_and_takes_it_back(trainer):
    model, told = trainer.lightning_module, []
    callback = Untrained(0, told.append)
    callback.on_train_start(trainer, model)
    for value in (0.9, 1.5, 3.0, 1e9, 0.5):
        trainer.callback_metrics = {"val/loss": torch.tensor(value * callback.loss)}
        callback.on_validation_end(trainer, model)
    assert len(told) == 2 and told[1] is None
    assert "far worse than" in told[0] and "\n" not in told[0]


def test_a_learning_rate_that_destroys_the_model_is_told_of(genexp, tiny):
    code, out, err = genexp(*tiny("made", "name=a", "metrics=nll", "model.optimizer.lr=1e6"))
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if "far worse than" in line)
    assert genexp.json("outputs/a/status.json")["warning"] == line.strip()


@pytest.mark.parametrize(("model", "metrics"), [("made", "metrics=nll"), ("vae", "metrics=bound")])
def test_nothing_is_told_of_a_healthy_run(genexp, finished, model, metrics):
    out = finished(model, "name=a", metrics)
    assert "far worse" not in out and genexp.json("outputs/a/status.json").get("warning") is None
