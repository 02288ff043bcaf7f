"""What image folders and shards promise alike: the same batches for any number of workers and processes, runs that resume."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer

from genexp.data import base
from genexp.data.shard_writer import write_shards

SHAPE = ["data.shape=[3,12,12]", "data.num_classes=2", "training.batch_size=16", "data.evaluation_batch_size=16"]


@pytest.fixture(params=["image_folder", "shards"])
def streamed(request, make_data, tmp_path, monkeypatch):
    """Colour images of several sizes, some of them JPEG: 110 of two classes to train on."""
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    draws = np.random.default_rng(0)
    for i in range(150):
        split = "train" if i < 110 else "validation" if i < 130 else "test"
        path = tmp_path / "folder" / split / "ab"[i % 2] / f"{i}.{'jpg' if i % 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (12 + i % 4, 12 + i % 3, 3), dtype=np.uint8)).save(path)

    def make(name, *overrides):
        return make_data(name, f"data.root={tmp_path}/{name.partition('_')[2] or name}", *SHAPE, *overrides)

    if request.param == "shards":
        write_shards(make("image_folder"), tmp_path / "shards", 10)
    return lambda *overrides: make(request.param, *overrides)


def epoch(data, number=0):
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return list(loader)


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True)
    )


def test_workers_do_not_change_what_is_served(streamed):
    alone, helped = streamed("data.num_workers=0"), streamed("data.num_workers=2")
    for number in (0, 1):
        served = epoch(alone, number)
        assert [len(x) for x, _ in served] == [16] * 6 + [14] and served[0][0].dtype == torch.uint8
        assert same(served, epoch(helped, number)) and same(served, epoch(alone, number))
    assert not same(epoch(alone, 0), epoch(alone, 1))
    for split in ("train", "validation", "test"):
        assert same(list(alone.loader(split)), list(helped.loader(split)))
    assert torch.equal(torch.cat([y for _, y in served]).bincount(), torch.tensor([55, 55]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_gets_the_rest_and_reads_nothing_else(streamed, workers, monkeypatch):
    whole = epoch(streamed(), 3)
    resumed = streamed(f"data.num_workers={workers}")
    resumed.skip(epoch=3, batches=4)
    if workers == 0:  # what a worker reads is not seen here
        images, seen = resumed.images("train"), []
        read = images.read
        monkeypatch.setattr(images, "read", lambda index: seen.extend(index.tolist()) or read(index))
    assert same(epoch(resumed, 3), whole[4:])
    if workers == 0:
        assert len(seen) == 110 - 4 * 16
    assert same(epoch(resumed, 4), epoch(streamed(), 4))


def test_processes_share_every_global_batch(streamed, monkeypatch):
    single = epoch(streamed("training.batch_size=32"), 1)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(base, "replica", lambda rank=rank: (rank, 2))
        parts.append(epoch(streamed("data.num_workers=2"), 1))
    monkeypatch.undo()
    joined = [
        tuple(torch.stack(pair, 1).flatten(0, 1) for pair in zip(*batches, strict=True))
        for batches in zip(*parts, strict=True)
    ]
    assert same(joined, single)


class Counter(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return self.weight * batch[0].float().mean()

    def validation_step(self, batch, batch_idx):
        assert batch[0].shape[1:] == (3, 12, 12)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_lightning_serves_every_epoch_in_its_order_with_lasting_workers(streamed):
    model = Counter()
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = Trainer(max_epochs=2, accelerator="cpu", use_distributed_sampler=False, **quiet)
    trainer.fit(model, datamodule=streamed("data.num_workers=2"))
    assert same(model.seen, epoch(streamed(), 0) + epoch(streamed(), 1))


# --- through the command line ------------------------------------------------------------------------

RUN = ["train", "trainer=cpu", "training.batch_size=64", "training.max_images=700", "samples.n=16"]
RUN += ["data.shape=[1,8,8]", "data.levels=17", "data.num_classes=10", "data.evaluation_batch_size=100"]
FIDELITY = ["metrics.fidelity.n=60", "metrics.fidelity.kid_subset_size=20", "metrics.fidelity.is_splits=2"]
VAE = ["model=vae", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "model.latent_dim=4"]
DCGAN = ["model=dcgan", "model.conditional=true", "model.generator.channels=4", "model.discriminator.channels=4"]


@pytest.fixture
def digits(genexp, make_data):
    """``digits/<class>/<i>.png``: 500 of scikit-learn's digits as PNGs of 256 grey levels."""
    from sklearn.datasets import load_digits

    source = load_digits()
    for i, (image, label) in enumerate(zip(source.images[:500], source.target[:500], strict=True)):
        path = genexp.folder / "digits" / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(path)
    options = ["data=image_folder", "data.root=digits", "data.splits={train: 0.6, validation: 0.2, test: 0.2}"]
    return genexp, options


@pytest.mark.parametrize("model", [VAE, DCGAN], ids=["vae", "dcgan"])
def test_a_run_on_an_image_folder(digits, model):
    genexp, options = digits
    code, _, err = genexp(*RUN, *options, *model, *FIDELITY, "name=a")
    assert code == 0, err
    records = {record["key"]: record for record in genexp.json("outputs/a/metrics.json")}
    fid = records["test/fid_mnistcnn_60"]
    assert np.isfinite(fid["value"]) and fid["protocol"]["preparation"].endswith("x * 17 // 256")
    assert ("test/nll_bound_nats_k1" in records) == (model is VAE)
    assert (genexp.folder / "outputs/a/samples/final.png").exists()


def test_shards_give_the_same_values_whatever_the_workers(digits, make_data):
    genexp, options = digits
    folder = make_data("image_folder", *options[1:], "data.shape=[1,8,8]", "data.levels=17", "data.num_classes=10")
    write_shards(folder, Path("shards"), 50)
    for name, workers in (("a", 0), ("b", 2)):
        shards = ["data=shards", "data.root=shards", f"data.num_workers={workers}"]
        code, _, err = genexp(*RUN, *shards, *VAE, *FIDELITY, f"name={name}")
        assert code == 0, err
    a, b = ({r["key"]: r["value"] for r in genexp.json(f"outputs/{name}/metrics.json")} for name in "ab")
    assert a == b and len(a) > 5


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_wrong_with_the_images_is_one_line_before_training(digits, workers):
    genexp, options = digits
    for path in (genexp.folder / "digits").glob("*/*.png"):
        path.write_bytes(path.read_bytes()[:60])
    code, _, err = genexp(*RUN, *options, *VAE, f"data.num_workers={workers}")
    assert code == 2 and ".png cannot be used" in err and err.count("\n") == 1 and "Traceback" not in err
    code, _, err = genexp(*RUN, *options, *VAE, "data.num_classes=11")
    assert code == 2 and "data.num_classes=11: for digits it must be 10" in err
    code, _, err = genexp(*RUN, "data=image_folder", *VAE)
    assert code == 2 and "data.root=null" in err
    assert not (genexp.folder / "outputs").exists() or not list((genexp.folder / "outputs").iterdir())
