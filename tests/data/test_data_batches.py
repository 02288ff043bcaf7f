"""The order of batches: a function of (seed, epoch), cut alike for any number of processes."""

from functools import partial

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from genexp.data.batches import FixedOrder, TrainingOrder
from genexp.data.mnist import Binarise


def batches(epoch=0, skip=(0, 0), **arguments):
    order = TrainingOrder(**{"n": 103, "batch_size": 10, "seed": 1} | arguments)
    order.set_epoch(epoch)
    order.skip(*skip)
    return list(order)


def indices(keys):
    return torch.cat([key.index for key in keys]).tolist()


def test_the_order_depends_on_seed_and_epoch_alone():
    reference = indices(batches())
    torch.manual_seed(5)
    assert indices(batches()) == reference
    assert sorted(reference) == list(range(103))
    assert indices(batches(epoch=1)) != reference
    assert indices(batches(seed=2)) != reference


@pytest.mark.parametrize("n", [100, 103, 121])
def test_processes_share_every_global_batch(n):
    single = batches(n=n, batch_size=30)
    shards = [batches(n=n, rank=rank, world=3) for rank in range(3)]
    assert {len(shard) for shard in shards} == {len(TrainingOrder(n, 10, 0, 0, 3))}
    for number, keys in enumerate(zip(*shards, strict=True)):
        whole = torch.full((30,), -1)
        for rank, key in enumerate(keys):
            here, everywhere = TrainingOrder(n, 10, 1, rank, 3).counts(number)
            assert len(key.index) == max(here, 1) and everywhere == len(single[number].index)
            whole[rank : 3 * here : 3] = key.index[:here]
        assert whole[whole >= 0].tolist() == single[number].index.tolist()
    assert sorted({i for shard in shards for i in indices(shard)}) == list(range(n))


def test_skip_leaves_out_the_start_of_its_epoch_only():
    assert indices(batches(epoch=2, skip=(2, 4))) == indices(batches(epoch=2)[4:])
    assert [key.number for key in batches(epoch=2, skip=(2, 4))] == list(range(4, 11))
    assert indices(batches(epoch=3, skip=(2, 4))) == indices(batches(epoch=3))


def test_a_resumed_run_continues_with_the_next_batch(make_data):
    data, resumed = (make_data("toy", "data.splits={train: 200, validation: 50, test: 50}") for _ in range(2))
    resumed.skip(epoch=3, batches=2)
    served = []
    for loader in (data.train_dataloader(), resumed.train_dataloader()):
        loader.sampler.set_epoch(3)
        served.append([x for x, _ in loader])
        assert len(loader) == 4
    assert all(torch.equal(a, b) for a, b in zip(served[0][2:], served[1], strict=True))


def test_fixed_order_serves_every_example_once():
    assert indices(FixedOrder(23, 5)) == list(range(23))
    shards = [FixedOrder(23, 5, rank, 2) for rank in range(2)]
    assert [len(shard) for shard in shards] == [3, 3]
    assert sorted(indices([*shards[0], *shards[1]])) == list(range(23))


@pytest.mark.parametrize("order", [FixedOrder, partial(TrainingOrder, seed=0)], ids=["fixed", "training"])
def test_a_process_without_an_example_is_served_one_that_does_not_count(order):
    """So that all processes have the same number of batches, and none waits for another."""
    shards = [order(n=11, batch_size=5, rank=rank, world=2) for rank in range(2)]
    assert [[len(key.index) for key in shard] for shard in shards] == [[5, 1], [5, 1]]
    assert [[shard.counts(number) for number in range(2)] for shard in shards] == [[(5, 10), (1, 1)], [(5, 10), (0, 1)]]
    assert list(shards[1])[1].index.tolist() == list(shards[0])[1].index.tolist()


def test_too_few_examples_for_the_processes():
    with pytest.raises(ValueError, match="2 training examples for 3 processes"):
        TrainingOrder(2, 10, 0, 0, 3)


def test_binarisation_does_not_depend_on_the_number_of_processes():
    grey = torch.randint(256, (40, 1, 4, 4), dtype=torch.uint8)
    binarise = Binarise(seed=3)
    (whole,) = batches(n=40, batch_size=40)
    shards = [batches(n=40, batch_size=20, rank=rank, world=2)[0] for rank in range(2)]
    parts = [binarise(grey[key.index], key) for key in shards]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), binarise(grey[whole.index], whole))


class Recorder(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.validated = {}, 0

    def training_step(self, batch, batch_idx):
        x, y = batch
        assert y is None and x.shape[1:] == (2,)
        self.seen.setdefault(self.current_epoch, []).append(x)
        return self.weight * x.mean()

    def validation_step(self, batch, batch_idx):
        self.validated += len(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # none are needed for data in memory
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # inside Lightning 2.6 with torch 2.15
@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_sets_the_epoch(make_data, workers):
    data = make_data("toy", "data.splits={train: 200, validation: 50, test: 50}", f"data.num_workers={workers}")
    model = Recorder()
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = Trainer(max_epochs=2, accelerator="cpu", num_sanity_val_steps=0, use_distributed_sampler=False, **quiet)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    iter(data.train_dataloader())
    assert torch.equal(torch.get_rng_state(), state)  # the loader leaves the global generator alone
    trainer.fit(model, datamodule=data)
    x, _ = data.tensors("train")
    for epoch in (0, 1):
        order = TrainingOrder(200, 64, seed=0)
        order.set_epoch(epoch)
        assert torch.equal(torch.cat(model.seen[epoch]), x[indices(order)])
        assert [len(batch) for batch in model.seen[epoch]] == [64, 64, 64, 8]
    assert model.validated == 100


def test_more_workers_than_cores_are_served_without_a_warning(make_data, monkeypatch):
    """Warnings are errors here; PyTorch warns when a loader is made and when it is iterated."""
    monkeypatch.setattr("torch._utils.cpu_count", lambda: 1)
    with pytest.warns(UserWarning, match="will create 2 worker processes"):
        DataLoader([0], num_workers=2)
    data = make_data("toy", "data.splits={train: 200, validation: 50, test: 50}", "data.num_workers=2")
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.loader("test", 10)):
        assert sum(len(x) for x, _ in loader) in (50, 200)
