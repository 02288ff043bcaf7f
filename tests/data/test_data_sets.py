"""Every conf/data/*.yaml: it composes, and the tensors are what it declares."""

from importlib.resources import files as package_files

import numpy as np
import pytest
import torch

from genexp.data.files import read
from genexp.data.in_memory import FileData, InMemoryData
from genexp.data.mnist import FILES, parse_idx
from genexp.data.splits import permuted
from genexp.data.stacked import StackedDigits

NAMES = sorted(p.stem for p in (package_files("genexp.conf") / "data").iterdir() if p.suffix == ".yaml")
STREAMED = {"image_folder", "shards", "table"}  # whatever their folder holds
AVAILABLE = {"cifar10": ["data.batches=[1]"], "mnist_logit": ["data.splits={train: 900, validation: 400, test: 500}"]}
"""What to ask of those whose files need not all be there, or take seconds to make."""
SIZES = {
    "cifar10": (9000, 1000, 10000),
    "digits": (1297, 250, 250),
    "fsdd": (2400, 300, 300),
    "mnist": (50000, 10000, 10000),
    "mnist5k": (4000, 500, 500),
    "mnist_binary": (50000, 10000, 10000),
    "mnist_dynamic": (50000, 10000, 10000),
    "mnist_logit": (900, 400, 500),
    "stacked_mnist": (128000, 10000, 10000),
    "stacked_mnist5k": (50000, 5000, 5000),
    "toy": (50000, 5000, 10000),
    "uci_dna": (1400, 600, 1186),
    "uci_mushrooms": (2000, 500, 5624),
    "uci_nips": (400, 100, 1240),
}


def test_every_data_set_is_looked_at():
    assert set(NAMES) == set(SIZES) | STREAMED


@pytest.mark.parametrize("name", sorted(SIZES))
def test_tensors_are_as_declared(make_data, name, request):
    data = make_data(name, *AVAILABLE.get(name, []))
    if isinstance(data, FileData) or (isinstance(data, StackedDigits) and isinstance(data.source, FileData)):
        request.getfixturevalue("data_root")
        data.prepare_data()
    data.setup()
    assert tuple(data.size(split) for split in ("train", "validation", "test")) == SIZES[name]
    assert data.protocol("test")["n"] == data.size("test")
    assert len({data.fingerprint(split) for split in ("train", "validation", "test")}) == 3
    x, y = next(iter(data.train_dataloader()))
    assert x.shape == (64, *data.shape)
    assert x.dtype == (torch.float32 if data.levels is None else torch.uint8)
    assert data.levels is None or int(data.tensors("train")[0].max()) == data.levels - 1
    assert (y is None) == (data.num_classes is None)
    if y is not None:
        for split in ("train", "validation", "test"):
            counts = torch.bincount(data.tensors(split)[1])
            assert len(counts) == data.num_classes and counts.min() > 0.05 * counts.sum()
    whole = torch.cat([x for x, _ in data.loader("validation", batch_size=77)])
    assert torch.equal(whole, data.tensors("validation")[0])


def test_mnist5k_quantises_the_grey_digits(make_data):
    binary, grey = make_data("mnist5k"), make_data("mnist5k", "data.levels=256")
    assert torch.equal(binary.tensors("test")[0], (grey.tensors("test")[0] >= 128).to(torch.uint8))
    assert grey.tensors("test")[0].max() == 255


def test_splits_are_disjoint():
    splits = {"train": 5, "validation": 3, "test": 2}
    parts = [permuted(11, splits, 0, split).tolist() for split in splits]
    assert [len(part) for part in parts] == [5, 3, 2] and len(set().union(*parts)) == 10
    with pytest.raises(ValueError, match="adds up to 10, but there are 9 examples"):
        permuted(9, splits, 0, "train")


def test_limit_takes_the_first_training_examples(make_data):
    full, few = make_data("digits"), make_data("digits", "data.limit=100")
    assert torch.equal(few.tensors("train")[0], full.tensors("train")[0][:100])
    assert sum(len(x) for x, _ in few.train_dataloader()) == 100
    assert few.size("test") == full.size("test")
    with pytest.raises(ValueError, match=r"data\.limit=9999: there are only 1297"):
        make_data("digits", "data.limit=9999").tensors("train")


def test_mnist_parts_come_from_the_right_files(make_data, data_root):
    data = make_data("mnist")
    labels = torch.from_numpy(parse_idx(read(data.path(FILES["train", "labels"]))).astype(np.int64))
    assert torch.equal(data.tensors("train")[1], labels[:50000])
    assert torch.equal(data.tensors("validation")[1], labels[50000:])


def test_dynamic_binarisation_is_fresh_every_epoch_and_reproducible(make_data, data_root):
    def epoch(number):
        data = make_data("mnist_dynamic", "data.limit=640")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        index = torch.cat([key.index for key in loader.sampler])
        x = torch.cat([x for x, _ in loader])
        return x[index.argsort()], data.grey("train")[0][:640]

    (first, grey), (again, _), (second, _) = epoch(0), epoch(0), epoch(1)
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert not first[grey == 0].any() and first[grey == 255].all()
    middle = (grey > 100) & (grey < 156)
    p = grey[middle].float().mean() / 255
    assert abs(first[middle].float().mean() - p) < 4 * (p * (1 - p) / middle.sum()) ** 0.5


def test_evaluation_binarisations(make_data, data_root):
    data = make_data("mnist_dynamic")
    grey = {split: data.grey(split)[0] for split in ("validation", "test")}
    np.random.seed(777)
    for split in ("validation", "test"):
        expected = np.random.binomial(1, grey[split].float().numpy().reshape(-1, 784) / 255)
        assert np.array_equal(data.tensors(split)[0].numpy().reshape(-1, 784), expected)
    threshold = make_data("mnist_dynamic", "data.evaluation_binarisation=threshold")
    assert torch.equal(threshold.tensors("test")[0], (grey["test"] >= 128).to(torch.uint8))
    draws = [make_data("mnist_dynamic", "data.evaluation_binarisation=random", f"seed={s}") for s in (0, 0, 1)]
    a, b, c = (d.fingerprint("test") for d in draws)
    assert a == b != c
    protocols = {d.protocol("test")["binarisation"] for d in (data, threshold, *draws)}
    assert protocols == {"fixed 777", "threshold", "random"}


class Fake(InMemoryData):
    def load(self, split):
        return torch.arange(12, dtype=torch.uint8).view(6, 2), torch.arange(6)


FAKE = dict(name="fake", shape=[2], levels=12, num_classes=6, batch_size=2, evaluation_batch_size=2, seed=0)


class Sorted(InMemoryData):
    """Ten examples in order."""

    def load(self, split):
        x = torch.arange(10, dtype=torch.uint8)
        return x.view(10, 1), 10 * x.long()


def test_examples_are_chosen_by_the_seed():
    data = Sorted(**FAKE | {"shape": [1], "num_classes": 91})
    x, y = data.examples("test", 10, 0)
    assert sorted(x.flatten().tolist()) == list(range(10)) and x.flatten().tolist() != list(range(10))
    assert torch.equal(y, 10 * x.flatten())
    assert torch.equal(data.examples("test", 4, 0)[0], x[:4])
    assert not torch.equal(data.examples("test", 10, 1)[0], x)
    assert len(data.examples("test", 99, 0)[0]) == 10


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"shape": [3]}, r"data\.shape=\[3\].*\[2\]"),
        ({"levels": 11}, r"data\.levels=11.*goes up to 11, set 12"),
        ({"levels": None}, r"data\.levels=None: fake is torch\.uint8"),
        ({"levels": 300}, r"data\.levels=300: must be in \[2, 256\]"),
        ({"num_classes": None}, r"data\.num_classes=None: for fake it must be 6"),
        ({"num_classes": 5}, r"data\.num_classes=5: the labels of fake must be int64 from 0 to 4"),
        ({"batch_size": 0}, r"data\.batch_size=0: must be at least 1"),
    ],
)
def test_a_wrong_declaration_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Fake(**FAKE | wrong).tensors("train")


def test_misspelt_choices_name_the_nearest(make_data):
    with pytest.raises(ValueError, match=r"split='vaildation'.*did you mean validation"):
        Fake(**FAKE).tensors("vaildation")
    with pytest.raises(Exception, match=r"evaluation_binarisation='treshold'.*did you mean threshold"):
        make_data("mnist_dynamic", "data.evaluation_binarisation=treshold")
    with pytest.raises(Exception, match=r"data\.levels=256: for digits it must be 17"):
        make_data("digits", "data.levels=256")


def test_logit_mnist_is_the_logit_of_dequantised_levels_and_its_splits_have_noise_of_their_own(make_data, data_root):
    small = "data.splits={train: 40, validation: 30, test: 20}"
    data, grey = make_data("mnist_logit", small), make_data("mnist", small)
    parts = {}
    for split in ("train", "validation", "test"):
        x, y = data.tensors(split)
        levels, labels = grey.tensors(split)
        assert x.dtype == torch.float32 and torch.equal(y, labels)
        v = (torch.sigmoid(x.double()) - 1e-6) / (1 - 2e-6) * 256
        parts[split] = v - levels.flatten(1)
        assert -1e-3 < parts[split].min() and parts[split].max() < 1 + 1e-3
    assert abs(parts["train"].mean().item() - 0.5) < 0.01
    assert not torch.equal(parts["train"][:20], parts["test"])
    whole = np.random.RandomState(42).rand(90, 784)
    assert np.abs(parts["test"].numpy() - whole[70:]).max() < 1e-2
    assert "noise seed 42" in data.protocol("test")["space"]
