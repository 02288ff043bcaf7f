"""CIFAR-10: records, splits, and files that are published in an archive; the real files where they are."""

import gzip
import hashlib
import io
import tarfile

import pytest
import torch

from genexp.data import cifar10
from genexp.data.files import RemoteFile, locate

FOLDER = "cifar-10-batches-bin"
NAMES = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]


def images(seed, n=20):
    """``n`` images and labels, and their records."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randint(256, (n, 3, 32, 32), generator=draws).to(torch.uint8)
    y = torch.randint(10, (n,), generator=draws)
    content = b"".join(bytes([int(label)]) + image.numpy().tobytes() for image, label in zip(x, y, strict=True))
    return x, y, content


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small archive in the place of the published one; returns the images of its batches."""
    batches = {name: images(i) for i, name in enumerate(NAMES)}
    path = tmp_path / "published" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, (_, _, content) in batches.items():
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    url = path.as_uri()
    whole = RemoteFile(FOLDER, path.name, url, hashlib.sha256(path.read_bytes()).hexdigest())
    files = [RemoteFile(FOLDER, n, url, hashlib.sha256(b[2]).hexdigest(), whole) for n, b in batches.items()]
    monkeypatch.setattr(cifar10, "TRAINING", tuple(files[:-1]))
    monkeypatch.setattr(cifar10, "TEST", files[-1])
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GENEXP_DATA", raising=False)
    return batches


def test_records_are_a_label_and_three_planes():
    x, y, content = images(0)
    found = cifar10.parse_records(content)
    assert torch.equal(found[0], x) and torch.equal(found[1], y)


def test_the_splits_are_cut_from_the_batches_in_their_order(make_data, published):
    x = torch.cat([published[name][0] for name in NAMES[:5]])
    y = torch.cat([published[name][1] for name in NAMES[:5]])
    data = make_data("cifar10")
    data.prepare_data()
    assert torch.equal(data.tensors("train")[0], x[:90]) and torch.equal(data.tensors("train")[1], y[:90])
    assert torch.equal(data.tensors("validation")[0], x[90:]) and torch.equal(data.tensors("validation")[1], y[90:])
    assert torch.equal(data.tensors("test")[0], published["test_batch.bin"][0])
    assert data.protocol("train")["batches"] == "1 2 3 4 5" and "batches" not in data.protocol("test")
    coarse = make_data("cifar10", "data.levels=4", "data.splits={train: 0.25, validation: 0.5, test: 0.3}")
    assert torch.equal(coarse.tensors("train")[0], x[:25] // 64)
    assert torch.equal(coarse.tensors("validation")[0], x[50:] // 64) and coarse.size("test") == 6


def test_fewer_batches_need_fewer_files(make_data, published, tmp_path):
    folder = tmp_path / "mine" / FOLDER
    folder.mkdir(parents=True)
    (folder / "data_batch_3.bin").write_bytes(published["data_batch_3.bin"][2])
    (folder / "test_batch.bin.gz").write_bytes(gzip.compress(published["test_batch.bin"][2]))
    data = make_data("cifar10", "data.batches=[3]", f"data.root={tmp_path}/mine")
    data.prepare_data()
    assert torch.equal(data.tensors("train")[0], published["data_batch_3.bin"][0][:18])
    assert not (tmp_path / "cache").exists()


def test_the_archive_is_downloaded_once_and_only_what_is_needed_unpacked(published, tmp_path):
    file = cifar10.TRAINING[1]
    path = locate(file, root=None)
    folder = tmp_path / "cache" / FOLDER
    assert path == folder / "data_batch_2.bin" and path.read_bytes() == published["data_batch_2.bin"][2]
    assert sorted(p.name for p in folder.iterdir()) == ["cifar-10-binary.tar.gz", "data_batch_2.bin"]
    (tmp_path / "published" / "cifar-10-binary.tar.gz").unlink()
    assert locate(cifar10.TEST, root=None).read_bytes() == published["test_batch.bin"][2]


def test_the_users_own_archive_is_used(published, tmp_path):
    mine = tmp_path / "mine" / FOLDER
    mine.mkdir(parents=True)
    (tmp_path / "published" / "cifar-10-binary.tar.gz").rename(mine / "cifar-10-binary.tar.gz")
    assert locate(cifar10.TEST, root=tmp_path / "mine") == tmp_path / "cache" / FOLDER / "test_batch.bin"


def test_a_damaged_batch_or_archive_is_refused(published, tmp_path):
    file = cifar10.TRAINING[0]
    wrong = RemoteFile(FOLDER, file.name, file.url, "0" * 64, file.archive)
    with pytest.raises(ValueError, match=rf"data_batch_1\.bin in .*tar\.gz has sha256 {file.sha256}.*{'0' * 64}"):
        locate(wrong, root=None)
    archive = tmp_path / "cache" / FOLDER / "cifar-10-binary.tar.gz"
    assert list(archive.parent.iterdir()) == [archive]
    archive.write_bytes(archive.read_bytes()[1:])
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz has sha256 .*it is damaged"):
        locate(file, root=None)


def test_a_missing_archive_names_the_file_and_the_address(published, tmp_path):
    (tmp_path / "published" / "cifar-10-binary.tar.gz").unlink()
    with pytest.raises(FileNotFoundError, match=rf"data_batch_1\.bin is not in .*tar\.gz failed.*{FOLDER}/data_batch"):
        locate(cifar10.TRAINING[0], root=None)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ("data.batches=[]", r"data\.batches=\[\]: must be one or several of 1, 2, 3, 4, 5"),
        ("data.batches=[0]", r"data\.batches=\[0\]"),
        ("data.batches=[1,1]", r"data\.batches=\[1, 1\].*each once"),
        ("data.splits.train=0.95", r"data\.splits=.*0\.95.*1 together at most"),
        ("data.splits.test=10000", r"data\.splits=.*10000.*at most 1"),
        ("data.splits={train: 0.9}", r"data\.splits=.*above 0"),
    ],
)
def test_impossible_choices_are_refused(make_data, wrong, message):
    wrong = wrong.replace("={", "={validation: 0, test: 1, ")
    with pytest.raises(Exception, match=message):
        make_data("cifar10", wrong)


def test_the_published_files(make_data, data_root):
    """Ten classes of 1,000 test images; neighbouring pixels and the three colours of a pixel are alike in photographs."""
    data = make_data("cifar10", "data.batches=[1]")
    x, y = data.tensors("test")
    assert torch.bincount(y).tolist() == [1000] * 10
    x = x[:500].float()
    spread = x.std()
    assert (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean() < 0.3 * spread
    assert (x[:, :, 1:] - x[:, :, :-1]).abs().mean() < 0.3 * spread
    assert (x[:, 1:] - x[:, :-1]).abs().mean() < 0.4 * spread
