"""Two stages by the command line: the second stands on the folder of the first, and then on its own feet."""

import shutil

import pytest
import torch
from omegaconf import OmegaConf
from tiny_overrides import TINY

from genexp import load
from genexp.record import checkpoint
from genexp.record.checksum import recorded_digest
from genexp.record.folder import RunFolder
from genexp.sweeps.plan import identity_of

SHORT = ["training.max_images=300", "samples.n=4"]
FIRST = ["train", "model=vq_vae", *TINY, "model.latent_dim=4", "model.encoder.channels=4", "model.decoder.channels=4"]
FIRST += ["model.codebook.size=8", "metrics=single_bound", *SHORT]
SECOND = [
    "train",
    "model=vq_prior",
    "model/code_prior=transformer",
    *TINY,
    "model.code_prior.network.depth=1",
    "metrics=single_bound",
    *SHORT,
]
SECOND += ["model.code_prior.network.width=8", "model.code_prior.network.heads=2", "model.first_stage_run=outputs/vq"]


@pytest.fixture
def run(genexp, finished_runs):
    """A run that must end well; ``run.finished`` trains it once a session."""

    def call(*arguments):
        code, out, err = genexp(*arguments)
        assert code == 0, err
        return out

    call.folder, call.json = genexp.folder, genexp.json
    call.finished = lambda *arguments: finished_runs.put(genexp, *arguments)
    return call


def value(run, name, key):
    (found,) = [record for record in run.json(f"outputs/{name}/metrics.json") if record["key"] == key]
    return found


def test_the_second_stage_needs_the_first_ones_folder_to_begin_and_never_after(run):
    run.finished(*FIRST, "name=vq")
    run.finished(*SECOND, "name=prior")
    first, second = load("outputs/vq"), load("outputs/prior")
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[f"first_stage.{name}"], tensor), name
    config = OmegaConf.load("outputs/prior/.hydra/config.yaml").model
    assert config.first_stage.codebook.size == config.first_stage.codebook.size == 8
    assert config.first_stage_sha256 == recorded_digest("outputs/vq/checkpoints/best.ckpt")
    assert len(config.first_stage_sha256) == 64
    found = {name: value(run, name, "test/nll_bound_nats") for name in ("vq", "prior")}
    assert found["prior"]["kind"] == "bound" and found["prior"]["value"] < found["vq"]["value"]

    before = run.json("outputs/prior/metrics.json")
    shutil.rmtree("outputs/vq")
    shutil.move("outputs/prior", "moved")
    run("evaluate", "run=moved", "metrics=single_bound", "trainer.accelerator=cpu")
    after = run.json("moved/metrics.json")
    assert [r["value"] for r in after] == [r["value"] for r in before]
    run("sample", "run=moved", "n=4", "trainer.accelerator=cpu", "+knobs.prior_temperature=0.5", "output=drawn")
    assert (run.folder / "drawn.npy").is_file() and (run.folder / "drawn.png").is_file()
    again, x = load("moved"), torch.randint(17, (5, 1, 8, 8)).to(torch.uint8)
    assert torch.equal(again.bound(x), second.bound(x))
    run("train", "run=moved", "training.max_images=400")  # continues from its own checkpoint


def test_what_a_second_stage_cannot_stand_on_is_refused_in_one_line(genexp):
    def refusal(*more):
        code, _, err = genexp(*SECOND, *more)
        assert code == 2 and len(err.strip().splitlines()) == 1
        return err

    assert "model.first_stage_run=null: a second stage needs the folder" in refusal("model.first_stage_run=null")
    assert "model.first_stage_run: outputs/vq holds no run" in refusal()
    assert genexp("train", "model=made", "model.network.hidden=[4]", *TINY, "metrics=nll", "name=vq")[0] == 0
    assert "outputs/vq: its model is Autoregressive, not a VQ-VAE" in refusal("name=second")


def test_another_first_stage_is_another_run(run, genexp):
    run.finished(*FIRST, "name=vq")
    run(*FIRST, "name=other", "seed=1")
    second = [*SECOND, "name=prior"]
    run.finished(*second)
    assert "is done" in run(*second, "resume=true")
    shutil.rmtree("outputs/vq")
    shutil.move("outputs/other", "outputs/vq")
    code, _, err = genexp(*second, "resume=true")
    assert code == 2 and "model.first_stage_sha256" in err
    code, _, err = genexp("repeat", "outputs/prior")
    assert code == 2 and "its best checkpoint is not the one" in err
    code, _, err = genexp(*SECOND, "name=shape", "data=mnist_binary")
    assert code == 2 and "data.shape=(1, 28, 28): the first stage was trained on data with (1, 8, 8)" in err


def test_a_sweep_over_first_stages_knows_its_runs_again(run):
    run.finished(*FIRST, "name=vq")
    shutil.copytree("outputs/vq", "outputs/vq1")
    sweep = [*SECOND[:-1], "-m", "model.first_stage_run=outputs/vq,outputs/vq1", "name=sweep"]
    sweep += ["hydra/launcher=basic", "hydra.sweeper.probe=false"]
    run(*sweep)
    folders = sorted((run.folder / "outputs/sweep").glob("*/status.json"))
    assert len({frozenset(identity_of(RunFolder(path.parent)).items()) for path in folders}) == 2
    assert run(*sweep, "resume=true", "dry_run=true").count("skip: done") == 2


@pytest.mark.parametrize("codebook", ["moving_average", "gradient"])
def test_a_resumed_first_stage_equals_the_uninterrupted_one(run, codebook):
    """Restarts and moving averages included, and steps of two batches."""
    arguments = [*FIRST, f"model/codebook={codebook}", "training.accumulate_batches=2", "training.batch_size=32"]
    run(*arguments, "name=whole", "training.max_images=900")
    run(*arguments, "name=parts", "training.max_images=500")
    run(*arguments, "name=parts", "training.max_images=900", "resume=true")
    whole, parts = (checkpoint.load(f"outputs/{name}/checkpoints/last.ckpt") for name in ("whole", "parts"))
    assert whole["images_seen"] == parts["images_seen"] > 900 and len(whole["state_dict"]) == len(parts["state_dict"])
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(parts["state_dict"][name], tensor), name
    if codebook == "moving_average":
        assert whole["state_dict"]["codebook.counts"].any()
