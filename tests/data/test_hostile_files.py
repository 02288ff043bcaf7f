"""Files that are not what their names say, or larger than they look: refused by type and size, before anything is read."""

import contextlib
import gzip
import io
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from genexp.data import bounded
from genexp.data.cifar10 import parse_records
from genexp.data.files import RemoteFile, cache_folder, locate
from genexp.data.images import HEAD, TAIL, decode, settled
from genexp.data.mnist import parse_idx
from genexp.data.mnist_binary import parse_bits
from genexp.data.npz import read_npz
from genexp.data.shard_writer import write_shards
from genexp.data.streamed import UnreadableImage

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


def encoded(format="PNG", pixels=PIXELS, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def oriented(orientation, format="PNG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))


def png(width, height, bits, color, raw):
    """A PNG with any header."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.fixture
def folder(make_data, tmp_path):
    """``data=image_folder`` of three images a split, without classes; returns it and its root."""
    for split in ("train", "validation", "test"):
        (tmp_path / "d" / split).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "d" / split / f"{i}.png").write_bytes(encoded())

    def make(name="image_folder", root=tmp_path / "d"):
        return make_data(name, f"data.root={root}", "data.shape=[3,6,10]", "data.num_workers=0")

    return make, tmp_path / "d"


# --- images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_images_are_turned_upright(format):
    for orientation in range(1, 9):
        content = oriented(orientation, format)
        shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
        assert torch.equal(decode(content, (3, *shown.shape[:2])).permute(1, 2, 0), torch.tensor(shown)), orientation


def test_damaged_metadata_do_not_make_an_image_unusable():
    content = encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 9)
    assert torch.equal(decode(content, (3, 6, 10)), decode(encoded("JPEG"), (3, 6, 10)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encoded("GIF"), r"not an image \(PNG, JPEG, WEBP, BMP\)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (png(20_000, 20_000, 8, 0, bytes(5)), r"more than 178,956,970 pixels"),
        (png(1, 1, 16, 2, bytes(7)), "more than 8 bits"),
    ],
    ids=["gif", "postscript", "bomb", "16 bits of colour"],
)
def test_what_an_image_may_not_be(content, reason):
    with pytest.raises(ValueError, match=reason):
        decode(content, (3, 1, 1))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_the_ends_of_a_file_settle_what_is_whole_and_opaque(format):
    content = encoded(format)
    assert settled(content[:HEAD], content[-TAIL:], len(content))
    for cut in range(len(content)):
        part = content[:cut]
        assert not settled(part[:HEAD], part[-TAIL:], cut), cut


UNUSABLE = {
    "cut": encoded()[:35],
    "transparent": encoded("PNG", np.zeros((6, 10, 4), np.uint8)),
    "deep": png(6, 10, 16, 0, bytes(126)),
    "text": b"no",
}


def test_an_unusable_image_of_any_split_is_found_by_its_ends(folder, tmp_path, monkeypatch):
    make, root = folder
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("genexp.data.streamed.SMALL", 0)
    data = make()
    write_shards(data, tmp_path / "shards", 10)
    shard = tmp_path / "shards" / "test-000000.tar"
    whole, sharded = shard.read_bytes(), make("shards", tmp_path / "shards")
    for there in (data, sharded):
        there.setup()
        there.inspect()
    at, size = sharded.images("test").index[1, :2]
    for kind, content in UNUSABLE.items():
        (root / "test" / "1.png").write_bytes(content)
        with pytest.raises(UnreadableImage, match=rf"^{root}/test/1\.png cannot be used: [^\n]*$"):
            data.inspect()
        shard.write_bytes(whole[:at] + content[:size].ljust(size, b"\0") + whole[at + size :])
        with pytest.raises(UnreadableImage, match=rf"^000000001\.png in {shard} cannot be used: [^\n]*$"):
            sharded.inspect()
            pytest.fail(kind)


def test_of_many_images_evenly_spaced_ones_are_looked_at(folder, monkeypatch):
    make, _ = folder
    monkeypatch.setattr("genexp.data.streamed.LOOKED_AT", 2)
    monkeypatch.setattr("genexp.data.streamed.SMALL", 0)
    data = make()
    looked = []
    images = data.images("train")
    monkeypatch.setattr(type(images), "head_and_tail", lambda self, i: looked.append(i) or (b"", b"", 1))
    monkeypatch.setattr(type(images), "read", lambda self, index: iter(()))
    data.batches("train").inspect()
    assert looked == [0, 2]


def sparse(path):
    with path.open("wb") as file:
        file.truncate(20 * 2**30)


def bound(path):
    """A socket; its name may have 107 bytes only, so it is made from its folder."""
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


@pytest.mark.parametrize(
    ("make_it", "reason"),
    [
        (os.mkfifo, "is a named pipe, not a file"),
        (Path.mkdir, "is a folder, not a file"),
        (bound, "is a socket, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file"),
        (lambda path: path.symlink_to("nowhere"), "is a link to a file that is not there"),
        (sparse, "has 21,474,836,480 bytes: must be at most 268,435,456"),
        (Path.touch, "is empty"),
    ],
    ids=["pipe", "folder", "socket", "device", "link", "sparse", "empty"],
)
def test_what_is_no_file_or_too_large_is_refused_before_it_is_read(folder, make_it, reason):
    make, root = folder
    path = root / "test" / "x.png"
    if make_it is Path.mkdir:  # beside class folders it would be one
        for split in ("train", "validation", "test"):
            (root / split / "cat").mkdir()
            for image in (root / split).glob("*.png"):
                image.rename(root / split / "cat" / image.name)
        path = root / "test" / "cat" / "x.png"
    make_it(path)
    data = make()
    data.num_classes = 1 if make_it is Path.mkdir else None
    with pytest.raises((ValueError, OSError), match=rf"^{path} {reason}"):
        data.setup()


def test_what_is_left_out_is_counted_and_named(folder):
    make, root = folder
    data = make()
    data.setup()
    assert data.notes == []
    (root / "test" / "notes.txt").touch()
    data = make()
    data.setup()
    assert data.notes == ["1 file of other types (.txt) is not used"]
    for split in ("train", "validation", "test"):
        (root / split / "cat" / "deep" / "er").mkdir(parents=True)
        for image in (root / split).glob("*.png"):
            image.rename(root / split / "cat" / image.name)
    for name in ("a.png", "deep/b.jpg", "deep/er/c.PNG", ".d.png", "e.gif", "f.tif", "g", ".DS_Store", "h.\x1b[31m"):
        (root / "train" / "cat" / name).write_bytes(encoded())
    (root / "valid" / "cat").mkdir(parents=True)
    for path in (root / "valid" / "cat" / "i.png", root / "j.png"):
        path.write_bytes(encoded())
    data = make()
    data.num_classes = 1
    data.setup()
    assert data.notes == [
        f"3 images in folders of {root}, {root}/train/cat and 1 image beside the folders of {root} and 5 files of other types "
        r"(.\x1b[31m, .gif, .tif, .txt, no suffix) and 1 hidden image are not used"
    ]
    assert data.size("train") == 4


# --- files of data sets ------------------------------------------------------------------------------------


def test_an_idx_file_must_hold_what_it_claims():
    assert parse_idx(b"\0\0\x08\x01\0\0\0\x02ab").tolist() == [97, 98]
    claims = b"\0\0\x08\x02" + struct.pack(">II", 2**20, 2**20)
    for content in (claims, claims[:9], b"", b"\0\0\x0d\x01\0\0\0\x02ab", b"\0\0\x08\x01\0\0\0\x02abc"):
        with pytest.raises(ValueError, match=r"^images (is no idx file|holds [01368-] values, but says)"):
            parse_idx(content, "images")


def test_records_and_bits_must_be_whole():
    for content in (b"", bytes(3072), bytes(3074)):
        with pytest.raises(ValueError, match=r"^a\.bin has .* bytes: must be a multiple of 3,073"):
            parse_records(content, "a.bin")
    for content in (b"", b"0 " * 783, b"2 " * 784, b"/ " * 784):
        with pytest.raises(ValueError, match=r"^a\.amat does not hold lines of 784 zeros and ones"):
            parse_bits(content, "a.amat")


def test_an_array_must_hold_what_it_claims(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(12.0).reshape(3, 4).T, y=np.array([None]))
    assert read_npz(path, "x").tolist() == np.arange(12.0).reshape(3, 4).T.tolist()
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)})
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("x.npy", file.getvalue() + bytes(8))
    for name, key, reason in (
        ("a", "y", "not numbers"),
        ("a", "z", "z.npy"),
        ("b", "x", "says 8,796,093,022,208 bytes"),
    ):
        with pytest.raises(ValueError, match=rf"^{tmp_path}/{name}\.npz is no NumPy archive .*{reason}"):
            read_npz(tmp_path / f"{name}.npz", key)


def test_a_file_that_unzips_to_too_much_is_refused(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(10_000)))
    assert bounded.read_gzip(path, 10_000) == bytes(10_000)
    with pytest.raises(ValueError, match=rf"^{path} holds more than 9,999 bytes"):
        bounded.read_gzip(path, 9_999)


def test_without_a_place_for_downloads_the_variable_is_named(tmp_path, monkeypatch):
    source = tmp_path / "x"
    source.write_bytes(b"x")
    file = RemoteFile("bits", "x", source.as_uri(), "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
    monkeypatch.setenv("GENEXP_CACHE", "")
    for home in ("/dev/null", None):
        if home is None:
            monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without a home
        else:
            monkeypatch.setenv("HOME", home)
        assert cache_folder() == Path("/dev/null/.cache/genexp")
        with pytest.raises(
            FileNotFoundError, match=r"/dev/null/\.cache.* cannot be written.*set GENEXP_CACHE to a folder"
        ):
            locate(file, root=None)
    monkeypatch.undo()
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    assert locate(file, root=None).read_bytes() == b"x"
