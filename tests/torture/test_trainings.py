"""NaN is noticed in the batch that makes it and never saved; a run that was killed goes on as if it had not been."""

import signal
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from trainings import exact_resume, kill_and_resume, plant_nan, process

from genexp.callbacks import finite
from genexp.callbacks.ema import EMA


@pytest.mark.parametrize(
    ("model", "where", "network", "quantity"),
    [
        ("fvsbn", "loss", None, "train/loss"),
        ("vae", "weights", None, "a weight"),
        ("gan", "input", "generator", "train/discriminator_loss"),
    ],
)
def test_nan_is_noticed_in_its_batch_and_not_saved(genexp, model, where, network, quantity):
    """In the second epoch, so that there is a good checkpoint; logged and saved much later."""
    more = ["training.log_every_steps=1000", "training.ema_decay=0.9"]
    ended = plant_nan(genexp, genexp.folder, model, *more, batch=23, where=where, network=network)
    assert ended.is_right and ended.quantity == quantity, ended
    assert ended.steps == 21 and ended.error.endswith("last good checkpoint is outputs/planted/checkpoints/last.ckpt")
    assert "at step 23 (batch 2 of epoch 2, 1,425 images)" in ended.error


def test_a_device_that_would_have_to_be_waited_for_names_the_first_batch_all_the_same(genexp, monkeypatch):
    """Noticed at the next boundary, before anything is saved: here the validation."""
    monkeypatch.setattr(finite, "reading_is_free", lambda tensor: False)
    more = ["training.log_every_steps=1000"]
    ended = plant_nan(genexp, genexp.folder, "fvsbn", *more, batch=7, where="loss")
    assert ended.is_right and ended.steps is None and (genexp.folder / "outputs/planted/metrics.csv").exists(), ended


@pytest.mark.parametrize("where", ["state", "average", "buffer"])
def test_nothing_that_is_not_finite_is_saved(where):
    """Neither what training goes on from nor what is evaluated; but a mask of -inf that a model was made with."""
    module = SimpleNamespace(weight=torch.nn.Parameter(torch.zeros(2)), steps=3, images_seen=96, players=())
    module.state_dict = lambda: {"weight": module.weight, "mask": mask, "mean": mean}
    module.named_buffers = lambda: {"mask": mask, "mean": mean}.items()
    mask, mean = torch.tensor([0.0, -torch.inf]), torch.zeros(3)
    optimizer = torch.optim.Adam([module.weight], lr=0.1)
    module.weight.grad = torch.ones(2)
    optimizer.step()
    average = EMA(0.9, None)
    average.average = {"weight": torch.zeros(2), "mask": mask}
    trainer = SimpleNamespace(optimizers=[optimizer], strategy=SingleDeviceStrategy())
    callback = finite.Finite(average)
    callback.on_train_start(trainer, module)
    callback.check_state(trainer, module)
    if where == "state":
        optimizer.state[module.weight]["exp_avg_sq"][0] = torch.inf
    elif where == "average":
        average.average["weight"][1] = torch.nan
    else:
        mean[0] = torch.nan
    line = {"state": "the state of the optimizer", "average": "the average of the weights", "buffer": "mean"}[where]
    with pytest.raises(finite.TrainingDiverged, match=f"^{line} is not finite after step 3"):
        callback.check_state(trainer, module)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 7, 21, 22])
@pytest.mark.parametrize("where", ["loss", "weights", "input"])
@pytest.mark.parametrize(
    ("model", "network"), [("fvsbn", None), ("vae", None), ("gan", "generator"), ("gan", "discriminator")]
)
def test_nan_is_noticed_wherever_it_is(tmp_path, model, network, where, batch):
    more = ["training.checkpoint_every_minutes=0", "training.log_every_steps=1000"]
    ended = plant_nan(process(tmp_path), tmp_path, model, *more, batch=batch, where=where, network=network)
    assert ended.is_right and ended.steps == (batch - 1 or None), ended


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["training.accumulate_batches=4"],
        ["model.discriminator_steps=3"],
        ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "training.batch_size=32"],
    ],
    ids=["accumulated", "several updates of the discriminator", "two processes"],
)
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_nan_is_noticed_in_a_part_of_a_step_and_by_all_processes(tmp_path, network, more):
    ended = plant_nan(process(tmp_path), tmp_path, "gan", *more, batch=7, where="loss", network=network)
    assert ended.is_right, ended


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("model", ["fvsbn", "vae", "gan"])
def test_a_run_that_was_ended_goes_on_exactly(tmp_path, model, sent):
    ended = exact_resume(tmp_path, model, sent=sent)
    assert ended.interruptions == 2 and ended.difference is None, ended


@pytest.mark.slow
def test_a_run_that_is_killed_anywhere_goes_on_exactly(tmp_path):
    ended = kill_and_resume(tmp_path, "vae", seconds=[3, 5, 6, 6.5, 7, 7.5, 8])
    assert ended.interruptions > 0 and ended.difference is None, ended
