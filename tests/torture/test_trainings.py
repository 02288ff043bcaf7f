"""NaN is noticed in the batch that makes it and never saved; a run that was killed goes on as if it had not been."""

import signal

import pytest
from trainings import exact_resume, kill_and_resume, plant_nan, process


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
