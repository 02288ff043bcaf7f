"""Tar shards: what is read from them, in which order, and what the errors say."""

import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genexp.data.base import SPLITS
from genexp.data.images import encode
from genexp.data.shard_writer import write_shards
from genexp.data.shards import ShardOrder
from genexp.data.streamed import UnreadableImage
from genexp.data.tar_index import LABEL, OFFSET, SIZE, index_of, scan

ROOT = Path(__file__).parents[2]
DIGITS = ["data.shape=[1,8,8]", "data.levels=17", "data.num_classes=10"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


@pytest.fixture
def shards(make_data, tmp_path):
    """``data=shards`` of scikit-learn's digits, 100 a shard, read by this process."""
    write_shards(make_data("digits"), tmp_path / "digits", 100)

    def make(*overrides):
        return make_data("shards", f"data.root={tmp_path}/digits", *DIGITS, "data.num_workers=0", *overrides)

    return make


def archive(path, *members):
    with tarfile.open(path, "w") as out:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    return path


PIXEL = encode(torch.zeros(1, 1, 1, dtype=torch.uint8), 2)


def test_a_data_set_comes_back_from_its_shards(make_data, shards, tmp_path):
    data, digits = shards(), make_data("digits")
    assert len(list((tmp_path / "digits").glob("*.tar"))) == 13 + 3 + 3
    for split in ("train", "validation", "test"):
        x, y = (torch.cat(parts) for parts in zip(*data.loader(split, 77), strict=True))
        assert torch.equal(x, digits.tensors(split)[0]) and torch.equal(y, digits.tensors(split)[1])
    few = shards("data.limit=150")
    assert few.size("train") == 150 and few.images("train").counts.tolist() == [100, 50]
    assert torch.equal(torch.cat([x for x, _ in few.loader("train")]), digits.tensors("train")[0][:150])
    assert shards("data.limit=200").images("train").counts.tolist() == [100, 100]
    with pytest.raises(ValueError, match="already holds shards"):
        write_shards(digits, tmp_path / "digits", 100)


def test_an_epoch_reads_few_shards_at_a_time_and_every_example_once(shards):
    def order(epoch=0, **changes):
        counts = np.array([100] * 12 + [97])
        arguments = {"counts": counts, "window": 3, "batch_size": 50, "seed": 0} | changes
        keys = ShardOrder(**arguments)
        keys.set_epoch(epoch)
        return torch.cat([key.index for key in keys])

    first = order()
    assert torch.equal(first, order()) and first.sort().values.tolist() == list(range(1297))
    assert not torch.equal(first, order(epoch=1)) and not torch.equal(first, order(seed=1))
    windows = [set((part // 100).tolist()) for part in first.split(300)[:-2]]  # the shard with 97 is in one of them
    assert sum(len(window) for window in windows) <= 3 * len(windows) + 2
    assert len((first[:300] // 100).unique()) == 3 and (first[:50] // 100).bincount().max() < 40
    assert set((first[:300] // 100).tolist()) != set((order(epoch=1)[:300] // 100).tolist())
    sampler = shards("data.shuffle_shards=3", "training.batch_size=50").train_dataloader().sampler
    assert torch.equal(torch.cat([key.index for key in sampler]), first)


def test_an_index_is_made_once_and_again_for_a_changed_shard(tmp_path, cache):
    shard = archive(tmp_path / "a.tar", ("x.png", PIXEL), ("x.cls", b"3"), ("x.txt", b"hi"))
    index, not_kept = index_of(shard, "label")
    (kept,) = cache.iterdir()
    assert index.rows.tolist() == np.load(kept)["rows"].tolist() == [[512, len(PIXEL), 3]]
    assert index.others == {".txt": 1} and not_kept is None
    np.savez(kept, rows=np.array([[512, len(PIXEL), 4]]), others=np.load(kept)["others"])
    assert index_of(shard, "label")[0].rows[0, LABEL] == 4 and index_of(shard, "label")[0].others == {".txt": 1}
    archive(shard, ("x.png", PIXEL), ("x.cls", b"5"))
    assert index_of(shard, "label")[0].rows[0, LABEL] == 5
    assert len(list(cache.iterdir())) == 2


def test_members_are_grouped_by_the_name_up_to_the_first_dot(tmp_path):
    members = [("a/1.json", b'{"label": 2, "caption": "x"}'), ("a/1.left.JPG", b"123"), ("a/1.txt", b"hi")]
    members += [("b/1.cls", b" 7\n"), ("b/1.json", b'{"label": 1}'), ("b/1.webp", b"4567"), ("b/2.bmp", b"8")]
    members += [("c" * 150 + ".png", b"9")]  # a name longer than a header holds
    shard = archive(tmp_path / "a.tar", *members)
    index = scan(shard, "label").rows
    assert index[:, LABEL].tolist() == [2, 7, -1, -1]
    content = shard.read_bytes()
    assert [content[row[OFFSET] :][: row[SIZE]] for row in index.tolist()] == [b"123", b"4567", b"8", b"9"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("1.png", PIXEL), ("1.cls", b"cat")], r"1\.cls says 'cat', which is not the number of a class"),
        ([("1.png", PIXEL), ("1.json", b'{"label": -2}')], r"1\.json says -2"),
        ([("1.png", PIXEL), ("1.json", b"{")], r"a\.tar"),
        ([("1.png", PIXEL), ("1.json", b"7")], r"a\.tar"),
        ([("1.png", PIXEL), ("1.jpg", PIXEL)], r"1 has two images"),
        ([("1.png", PIXEL), ("2.png", PIXEL), ("1.cls", b"0")], r"the members of 1 do not lie together"),
        ([("1.png", PIXEL), ("2.cls", b"1")], r"2 has no image"),
        ([], r"holds no examples"),
    ],
)
def test_a_shard_that_is_not_as_it_should_be_is_named(tmp_path, members, message):
    shard = archive(tmp_path / "a.tar", *members)
    with pytest.raises(ValueError, match=message) as error:
        scan(shard, "label")
    assert str(shard) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["cut", "text", "compressed"])
def test_what_is_no_tar_archive_is_refused(tmp_path, kind):
    shard = archive(tmp_path / "a.tar", ("1.png", bytes(5000)))
    if kind == "cut":
        shard.write_bytes(shard.read_bytes()[:3000])
    elif kind == "text":
        shard.write_text("hello" * 1000)
    else:
        with tarfile.open(shard, "w:gz") as out:
            out.add(__file__, "1.png")
    with pytest.raises(ValueError, match=r"a\.tar is not a shard of images \(an uncompressed tar archive\)"):
        scan(shard, "label")


def tar(*members, format=tarfile.PAX_FORMAT):
    """The bytes of an archive; of members whose size is given, only the header is there."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as out:
        for name, content, *changes in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for change, value in dict(changes).items():
                setattr(member, change, value)
            out.addfile(member, io.BytesIO(content) if isinstance(content, bytes) and not changes else None)
    return file.getvalue()


def test_a_shard_that_was_cut_anywhere_is_refused(tmp_path):
    whole = tar(("1.png", PIXEL), ("1.cls", b"1"), ("2.png", bytes(700)), ("2.cls", b"0"))
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    shard = tmp_path / "a.tar"
    for cut in (*range(512, len(whole), 512), 1, 100, 513, 1500, end - 1):
        shard.write_bytes(whole[:cut])
        if cut >= end + 1024:
            assert len(scan(shard, "label").rows) == 2
        else:
            with pytest.raises(ValueError, match=r"a\.tar is not a shard[^\n]*(cut off|unexpected end|truncated)"):
                scan(shard, "label")


GIGABYTES = 9 * 2**30


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar(("1.png", PIXEL)) * 2, r"goes on after its end"),
        (tar(("1.png", PIXEL)) + b"more", r"goes on after its end"),
        (tar(("1.png", b"", ("size", GIGABYTES))), r"1\.png has 9,663,676,416 bytes: must be at most 268,435,456"),
        (tar(("1.png", PIXEL), ("1.cls", b"", ("size", 2**20))), r"1\.cls has 1,048,576 bytes: must be at most 1,024"),
        (tar(("1.png", PIXEL), ("1.json", b"", ("size", 2**30))), r"1\.json has 1,073,741,824 bytes: must be at most"),
        *(
            (
                tar(("x", b"", ("type", kind), ("size", GIGABYTES)), format=tarfile.GNU_FORMAT),
                r"says that 9,663,676,\d+ bytes",
            )
            for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)
        ),
        (tar(("1.png", b"", ("size", -1024)), format=tarfile.GNU_FORMAT), r"leads back"),
        (tar(("1.png", PIXEL), ("1.cls", str(10**30).encode())), r"1\.cls says '10+', which is not"),
        (tar(("1.png", PIXEL), ("1.json", b"[" * 10**5)), r"recursion"),
        (
            tar(("1.png", b"", ("pax_headers", {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}))),
            r"1\.png is a sparse member",
        ),
        (tar(("1.png", PIXEL))[:1024] + b"?" * 512 + bytes(1024), r"neither a header nor the end"),
    ],
    ids=range(13),
)
def test_an_odd_archive_is_refused_in_one_line(tmp_path, content, message):
    shard = tmp_path / "a.tar"
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{shard} is not a shard of images [^\n]*{message}"):
        scan(shard, "label")


def test_zeros_after_the_end_are_padding(tmp_path):
    shard = tmp_path / "a.tar"
    shard.write_bytes(tar(("1.png", PIXEL)) + bytes(10**6))
    assert len(scan(shard, "label").rows) == 1
    with shard.open("ab") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(ValueError, match=r"it goes on for 21,474,8\d\d,\d\d\d bytes after its end"):
        scan(shard, "label")


def test_a_cache_that_is_damaged_or_impossible_is_made_anew(tmp_path, cache, monkeypatch):
    shard = archive(tmp_path / "a.tar", ("1.png", PIXEL), ("1.cls", b"1"), ("2.png", PIXEL), ("2.cls", b"0"))
    right = index_of(shard, "label")[0].rows
    (kept,) = cache.iterdir()
    whole, others = kept.read_bytes(), np.frombuffer(b"{}", np.uint8)
    for content in (b"", b"garbage", whole[:-30], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]):
        kept.write_bytes(content)
        assert np.array_equal(index_of(shard, "label")[0].rows, right) and kept.read_bytes()[:2] == b"PK"
    for rows in (
        right[:, :2],
        right[:0],
        right[::-1],
        right.astype(float),
        right * 512,
        right - 512,
        right + np.array([1, 0, 0]),
    ):
        np.savez(kept, rows=rows, others=others)
        assert np.array_equal(index_of(shard, "label")[0].rows, right), rows
    np.savez(kept, right)
    assert np.array_equal(index_of(shard, "label")[0].rows, right)
    kept.unlink()
    kept.mkdir()
    index, not_kept = index_of(shard, "label")
    assert np.array_equal(index.rows, right) and "cannot be written" in not_kept
    monkeypatch.setenv("GENEXP_CACHE", "/dev/null/x")
    assert index_of(shard, "label")[1] == "/dev/null/x/shards cannot be written (Not a directory)"


def test_what_is_left_out_of_shards_is_counted_and_named(make_data, tmp_path, monkeypatch):
    for split in ("train", "validation", "test", "extra"):
        archive(tmp_path / f"{split}-0.tar", ("a.png", PIXEL), ("a.txt", b"hi"), ("a.left.gif", b"x"), ("a.cls", b"0"))
    data = make_data("shards", f"data.root={tmp_path}", "data.shape=[1,1,1]", "data.num_classes=1")
    monkeypatch.setenv("GENEXP_CACHE", "/dev/null")
    data.prepare_data()
    data.setup()
    data.setup()
    assert data.notes == [
        "6 members of other types (.gif, .txt) in the shards are not used",
        f"1 other archive in {tmp_path} (extra-0.tar) is not used",
        "the indices of the shards are not kept: /dev/null/shards cannot be written (Not a directory); GENEXP_CACHE names "
        "another folder",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.num_classes=9"],
            r"data\.num_classes=9: the labels of shards must be int64 from 0 to 8, but are .* to 9",
        ),
        (["data.num_classes=null"], r"data\.num_classes=None: for shards it must be 10"),
        (["data.shards.test=exam-*.tar"], r"data\.shards\.test=exam-\*\.tar matches nothing in .*19 other .tar files"),
        (["+data.shards.val=val-*.tar"], r"data\.shards=.*must give a pattern for train, validation and test"),
        (["data.shuffle_shards=0"], r"data\.shuffle_shards=0: must be at least 1"),
    ],
)
def test_shards_that_are_not_as_declared_are_refused(shards, overrides, message):
    with pytest.raises(Exception, match=message):
        shards(*overrides).setup()


def test_labels_in_some_examples_only_are_refused(make_data, tmp_path):
    for split in ("train", "validation", "test"):
        archive(tmp_path / f"{split}-0.tar", ("1.png", PIXEL), ("2.png", PIXEL), ("2.cls", b"0"))
    with pytest.raises(ValueError, match=r"train-0\.tar: 1 of its 2 examples have no label"):
        make_data("shards", f"data.root={tmp_path}", "data.shape=[1,1,1]", "data.num_classes=1").setup()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_with_its_shard(make_data, tmp_path, workers):
    for split in ("train", "validation", "test"):
        archive(tmp_path / f"{split}-0.tar", ("a.png", PIXEL), ("b/c.png", PIXEL[:40]))
    data = make_data("shards", f"data.root={tmp_path}", "data.shape=[1,1,1]", f"data.num_workers={workers}")
    with pytest.raises(UnreadableImage, match=rf"^b/c\.png in {tmp_path}/validation-0\.tar cannot be used: [^\n]*$"):
        list(data.loader("validation"))


def test_the_fingerprint_tells_shards_apart(shards, tmp_path):
    before = [shards().fingerprint(split) for split in ("train", "validation", "test")]
    assert len(set(before)) == 3 and shards("data.limit=1000").fingerprint("train") != before[0]
    with tarfile.open(tmp_path / "digits" / "train-000012.tar") as last:
        (tmp_path / "moved").mkdir()
        subprocess.run(f"cp {tmp_path}/digits/*.tar {tmp_path}/moved", shell=True, check=True)
        members = [(member.name, last.extractfile(member).read()) for member in last]
    assert shards(f"data.root={tmp_path}/moved").fingerprint("train") == before[0]
    archive(tmp_path / "digits" / "train-000012.tar", *members[:-2])
    assert shards().fingerprint("train") != before[0]


def test_the_verb_writes_shards_of_a_data_set(make_data, tmp_path, genexp):
    code, out, err = genexp("shards", "digits", "out", "data.limit=90", "--per-shard", "40")
    assert code == 0 and "3 shards of train, 90 images" in out and "data.levels=17 data.num_classes=10" in out, err
    data = make_data("shards", f"data.root={tmp_path}/out", *DIGITS, "data.num_workers=0")
    assert torch.equal(torch.cat([x for x, _ in data.loader("test")]), make_data("digits").tensors("test")[0])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("nothing out", "nothing: neither a folder nor a data set"),
        ("digit out", "Did you mean 'digits'?"),
        ("digits out --per-shard 0", "--per-shard 0"),
        ("digits out model=vae", "only data=..."),
        ("digits out data.lmit=3", "Did you mean 'data.limit'?"),
        ("uci_dna out", "only images have shards"),
    ],
)
def test_a_wrong_source_is_told_in_one_line(genexp, command, message):
    code, _, err = genexp("shards", *command.split())
    assert code == 2 and message in err and err.count("\n") == 1 and not (genexp.folder / "out").exists(), err


def test_the_classes_of_a_folder_are_counted(genexp):
    for split in SPLITS:
        for name in "ab":
            path = genexp.folder / "cats" / split / name
            path.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(path / "1.png")
    code, out, err = genexp("shards", "cats", "out", "data.shape=[3,8,8]")
    assert code == 0 and "1 shards of test, 2 images" in out and "data.num_classes=2" in out, err
