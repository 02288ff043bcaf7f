"""Two processes learn what one learns with the double batch; FSDP and torch.compile learn what DDP and eager code do."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from tiny_overrides import FIDELITY, FLOW_NETS, MORE_NETS, NETS

import genexp as package
from genexp.record import checkpoint

COMMON = [
    "data=digits",
    "data.limit=640",
    "training.max_epochs=2",
    "training.max_images=null",
    "training.log_every_steps=1",
]
COMMON += ["samples.n=16", "samples.every_images=500", *FIDELITY]
ONE = ["trainer=cpu", "training.batch_size=64"]
TWO = ["trainer.accelerator=cpu", "trainer.devices=2", "training.batch_size=32"]
every_model = pytest.mark.parametrize("model", sorted(NETS | MORE_NETS | FLOW_NETS))


def arguments(model, name, *more, common=COMMON):
    return ["train", f"model={model}", *(NETS | MORE_NETS | FLOW_NETS)[model], *common, f"name={name}", *more]


def result(folder):
    """The history of a run by metric, and its last checkpoint."""
    history = {}
    with open(folder / "metrics.csv") as file:
        for row in csv.DictReader(file):
            history.setdefault(row["metric"], []).append((int(row["step"]), float(row["value"])))
    return history, checkpoint.load(folder / "checkpoints/last.ckpt")


def run(folder, model, name, *more):
    """``genexp train ...`` as a process of its own, which must end well; its :func:`result`."""
    command = [sys.executable, "-m", "genexp", *arguments(model, name, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return result(folder / "outputs" / name)


def assert_same(a, b, rel, epoch=640):
    (one, one_end), (two, two_end) = a, b
    assert one.keys() == two.keys() and len(one["train/loss"]) == 2 * -(-epoch // 64)
    for metric in one:
        assert [step for step, _ in two[metric]] == [step for step, _ in one[metric]]
        if metric.endswith(("/fake_spread", "/perplexity")):  # over the batch of each process
            continue
        assert [v for _, v in two[metric]] == pytest.approx([v for _, v in one[metric]], rel=rel), metric
    assert one_end["images_seen"] == two_end["images_seen"] == 2 * epoch
    assert one_end["state_dict"].keys() == two_end["state_dict"].keys()
    for name, value in one_end["state_dict"].items():
        assert torch.allclose(two_end["state_dict"][name], value, rtol=1e-3, atol=1e-4), name


def test_two_processes_train_a_vae_as_one_does(genexp):
    code, _, err = genexp(*arguments("vae", "one", *ONE))
    assert code == 0, err
    two = run(genexp.folder, "vae", "two", "trainer=ddp", *TWO)
    assert_same(result(genexp.folder / "outputs/one"), two, 1e-5)
    assert sorted(os.listdir("outputs")) == ["one", "two"]


@pytest.mark.slow
@every_model
def test_two_processes_train_every_model_as_one_does(tmp_path, model):
    more = ["model.network.num_masks=8"] if model == "made" else []
    two = run(tmp_path, model, "two", "trainer=ddp", *TWO, *more)
    assert_same(run(tmp_path, model, "one", *ONE, *more), two, 1e-4)


FORKED = ["trainer=ddp", "trainer.strategy=ddp_fork", *TWO]
"""Two processes that need not import anything."""
BARE = [item for item in COMMON if item not in FIDELITY] + ["metrics=[]", "samples.every_images=null"]
"""Overrides for a run that is trained, and not evaluated."""
UNEVEN = {"631": "28 and 27 in the last batch", "641": "one example in the last batch, and a stand-in"}


def one_and_two(genexp, model, one, two, *more):
    """Results of one process with some overrides, and of two with others."""
    for name, settings in {"one": ["trainer=cpu", *one], "two": [*FORKED, *two]}.items():
        code, _, err = genexp(*arguments(model, name, *settings, *more, common=BARE))
        assert code == 0, err
    return [result(genexp.folder / "outputs" / name) for name in ("one", "two")]


def test_two_processes_share_an_epoch_that_they_do_not_divide(genexp):
    one, two = one_and_two(genexp, "vae", ONE, TWO, "data.limit=641")
    assert_same(one, two, 1e-4, 641)


def test_two_processes_begin_with_the_same_look_at_the_data(genexp):
    (_, one), (_, two) = results = one_and_two(genexp, "dequantised", ONE, TWO)
    assert_same(*results, 1e-4)
    for part in ("mean", "sd"):
        name = f"density.standardise.{part}"
        assert torch.equal(one["state_dict"][name], two["state_dict"][name]) and one["state_dict"][name].std() > 0


@pytest.mark.slow
@pytest.mark.parametrize("epoch", UNEVEN, ids=UNEVEN.values())
@pytest.mark.parametrize("model", ["made", "vae", "vq_vae", "gan", "dcgan"])
def test_two_processes_share_an_epoch_that_they_do_not_divide_whatever_the_model(genexp, model, epoch):
    if (model, epoch) == ("dcgan", "641"):
        pytest.skip("batch normalisation counts the stand-in too, of which the run tells")
    more = [f"data.limit={epoch}", *(["model.network.num_masks=8"] if model == "made" else [])]
    assert_same(*one_and_two(genexp, model, ONE, TWO, *more), 1e-4, int(epoch))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vae", "gan"])
def test_two_processes_with_two_batches_of_uneven_parts_train_as_one_does(genexp, model):
    one, two = ([f"training.batch_size={size}", "training.accumulate_batches=2"] for size in (32, 16))
    assert_same(*one_and_two(genexp, model, one, two, "data.limit=631"), 1e-4, 631)


@pytest.mark.slow
@pytest.mark.parametrize("validation", [51, 1])
def test_two_processes_validate_a_split_that_they_do_not_divide(genexp, validation):
    """With buffers that are synchronised in every batch, and so in as many on each process."""
    more = [f"data.splits={{train: 96, validation: {validation}, test: 50}}", "data.limit=96", "model.conditional=true"]
    one, two = ([f"data.evaluation_batch_size={size}"] for size in (50, 25))
    (one, _), (two, _) = one_and_two(genexp, "dcgan", [*ONE, *one], [*TWO, *two], *more)
    assert one.keys() == two.keys() and "val/loss" in one
    for metric in one.keys() - {"train/fake_spread"}:  # over the batch of each process
        assert [v for _, v in two[metric]] == pytest.approx([v for _, v in one[metric]], rel=1e-4, abs=1e-6), metric


def test_a_run_tells_where_two_processes_are_not_quite_one(genexp):
    more = ["data.limit=65", "training.max_epochs=1"]
    for model, told in (("dcgan", True), ("gan", False)):
        code, out, err = genexp(*arguments(model, model, *FORKED, *more, common=BARE))
        assert code == 0 and ("the last batch of an epoch has 1 example for 2 processes" in out) == told, out + err


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vae", "gan"])
def test_two_processes_with_two_batches_a_step_train_as_one_does(tmp_path, model):
    two = ["trainer=ddp", *TWO, "training.batch_size=16", "training.accumulate_batches=2"]
    assert_same(run(tmp_path, model, "one", *ONE), run(tmp_path, model, "two", *two), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "game",
    [
        ["model/objective=wasserstein", "model/penalties=[gradient_penalty]"],
        ["model/objective=relativistic", "model/penalties=[r1,r2]", "model/augmentation=differentiable"],
    ],
    ids=["wgan_gp", "r3gan"],
)
def test_two_processes_penalise_gradients_as_one_does(tmp_path, game):
    """Interpolation and augmentation draw for each example, whichever process has it."""
    game = [*game, "model.discriminator.batch_norm=false"]
    one = run(tmp_path, "dcgan", "one", *ONE, *game)
    assert_same(one, run(tmp_path, "dcgan", "two", "trainer=ddp", *TWO, *game), 1e-3)


@pytest.mark.slow
def test_the_duality_gap_is_that_of_one_process(tmp_path):
    """The first process trains the adversaries alone, also those whose batch normalisation is synchronised."""
    more = ["monitors=duality_gap", "monitors.duality_gap.steps=3", "evaluation.monitor_every_images=1"]
    one, two = (run(tmp_path, "dcgan", *settings, *more) for settings in (["one", *ONE], ["two", "trainer=ddp", *TWO]))
    assert_same(one, two, 1e-3)
    assert len(one[0]["val/duality_gap_nats_3"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_agree_on_what_the_first_one_measures(tmp_path, strategy):
    """And so on the end of training, which the other would otherwise wait for."""
    monitors = ["monitors=fidelity", *(item.replace("metrics", "monitors", 1) for item in FIDELITY)]
    more = [
        *monitors,
        "evaluation.monitor_every_images=1",
        "training.monitor=val/is_mnistcnn_60",
        "training.patience=1",
    ]
    history, end = run(tmp_path, "vae", "two", f"trainer={strategy}", *TWO, *more, "training.max_epochs=9")
    values = [value for _, value in history["val/is_mnistcnn_60"]]
    assert len(values) < 9 and values[-1] <= values[-2] == max(values)
    best = checkpoint.load(tmp_path / "outputs/two/checkpoints/best.ckpt")
    assert best["steps"] == end["steps"] - 10 == 10 * (len(values) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["made", "gated_pixelcnn", "vae", "vae_conv"])
def test_fully_sharded_training_learns_what_ddp_does(tmp_path, model):
    sharded = run(tmp_path, model, "fsdp", "trainer=fsdp", *TWO)
    assert_same(run(tmp_path, model, "ddp", "trainer=ddp", *TWO), sharded, 1e-5)
    assert sorted(p.name for p in (tmp_path / "outputs/fsdp/samples").glob("0*[0-9].png"))
    loaded = package.load(tmp_path / "outputs/fsdp")
    assert loaded.sample(2).shape == (2, 1, 8, 8)


PROBE = """
from genexp.families.autoregressive import Autoregressive

class Probe(Autoregressive):
    def on_train_end(self):
        held = sum(p.to_local().numel() for p in self.parameters())
        with open(f"held-{self.global_rank}", "w") as file:
            file.write(f"{held} {sum(p.numel() for p in self.parameters())}")
"""


@pytest.mark.slow
def test_each_process_holds_half_of_the_parameters(tmp_path):
    (tmp_path / "probe.py").write_text(PROBE)
    more = ["model._target_=probe.Probe", "allow_targets=[probe]", "model.network.hidden=[256]"]
    run(tmp_path, "made", "fsdp", "trainer=fsdp", *TWO, *more)
    for rank in (0, 1):
        held, total = map(int, (tmp_path / f"held-{rank}").read_text().split())
        assert held == pytest.approx(total / 2, rel=0.02)


@pytest.mark.slow
@every_model
def test_compiled_networks_learn_what_others_do(tmp_path, model):
    assert_same(
        run(tmp_path, model, "eager", *ONE), run(tmp_path, model, "compiled", *ONE, "training.compile=true"), 1e-3
    )
