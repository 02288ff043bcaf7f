"""Folders of images: which examples, which labels, which split, and what the errors say."""

import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from genexp.data.images import decode, encode, quantise
from genexp.data.streamed import UnreadableImage

GREY = ["data.shape=[1,8,8]"]


def picture(path, shape=(8, 8), seed=0, **save):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, **save)
    return torch.from_numpy(pixels)


@pytest.fixture
def classes(tmp_path):
    """``root/<split>/{cat,dog}/<i>.png``; the pixels of every image by its path."""
    sizes = {"train": 6, "validation": 3, "test": 2}
    pixels = {}
    for seed, (split, n) in enumerate(sizes.items()):
        for label, name in enumerate(("cat", "dog")):
            for i in range(n):
                path = tmp_path / split / name / f"{i}.png"
                pixels[path] = picture(path, seed=[seed, label, i])
    return tmp_path, pixels


@pytest.fixture
def folder(make_data):
    """``data=image_folder`` of 8x8 grey images, read by this process."""

    def make(root, *overrides):
        return make_data("image_folder", f"data.root={root}", *GREY, "data.num_workers=0", *overrides)

    return make


def whole(data, split):
    x, y = zip(*data.loader(split, 4), strict=True)
    return torch.cat(x), None if y[0] is None else torch.cat(y)


def test_images_carry_the_number_of_their_class_folder(classes, folder):
    root, pixels = classes
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    data = folder(root, "data.num_classes=2")
    data.setup()
    assert [data.size(split) for split in ("train", "validation", "test")] == [12, 6, 4]
    x, y = whole(data, "train")
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        path = data.images("train").name(i)
        assert torch.equal(image[0], pixels[root / path]) and ["cat", "dog"][label] in path
    assert y.bincount().tolist() == [6, 6] and y[:6].unique().tolist() == [0, 1]  # mixed: limit=6 sees both
    assert data.protocol("test")["n"] == 4


def test_limit_takes_the_first_and_a_fingerprint_tells_what_is_served(classes, folder):
    root, _ = classes
    data = folder(root, "data.num_classes=2")
    few = folder(root, "data.num_classes=2", "data.limit=5")
    assert torch.equal(whole(few, "train")[0], whole(data, "train")[0][:5])
    variants = [data, few, folder(root, "data.num_classes=2", "data.levels=2"), folder(root, "data.num_classes=2")]
    variants.append(folder(root, "data.num_classes=2", "data.shape=[1,4,4]"))
    prints = [variant.fingerprint("train") for variant in variants]
    assert prints[0] == prints[3] and len(set(prints)) == 4
    picture(root / "train" / "cat" / "0.png", (9, 9))
    assert folder(root, "data.num_classes=2").fingerprint("train") != prints[0]
    with pytest.raises(ValueError, match=r"data\.limit=13: there are only 12"):
        folder(root, "data.limit=13", "data.num_classes=2").setup()


def test_images_without_classes_lie_in_the_split(tmp_path, folder):
    for split in ("train", "validation", "test"):
        picture(tmp_path / split / "a.bmp")
        picture(tmp_path / split / "b.PNG", seed=1)
    x, y = whole(folder(tmp_path), "validation")
    assert x.shape == (2, 1, 8, 8) and y is None


def test_one_folder_is_split_by_seed_and_file_name(tmp_path, folder):
    for i in range(200):
        picture(tmp_path / ("cat" if i % 2 else "dog") / f"{i}.png", (1, 1), seed=i)
    shares = ["data.splits={train: 0.5, validation: 0.3, test: 0.2}", "data.num_classes=2"]

    def names(*more):
        data = folder(tmp_path, *shares, *more)
        return [[data.images(s).name(i) for i in range(data.size(s))] for s in ("train", "validation", "test")]

    before = names()
    assert sorted(name for part in before for name in part) == sorted(map(str, tmp_path.glob("*/*.png")))
    assert [abs(len(part) - n) < 20 for part, n in zip(before, (100, 60, 40), strict=True)] == [True] * 3
    assert names("seed=7") == before != names("data.split_seed=1")
    for i in range(200, 260):
        picture(tmp_path / "cat" / f"{i}.png", (1, 1))
    assert all(set(old) <= set(new) for old, new in zip(before, names(), strict=True))


def test_images_are_cut_in_the_middle_and_resized(tmp_path):
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = [255, 0, 0]  # the middle third is red, the rest is cut off
    Image.fromarray(wide).save(tmp_path / "a.png")
    encoded = (tmp_path / "a.png").read_bytes()
    red = decode(encoded, (3, 5, 5))
    assert red.shape == (3, 5, 5) and red[1:].max() == 0
    assert (red[0, :, 1:4] == 255).all() and red[0].min() > 230  # at the edges the filter sees what is cut off
    assert decode(encoded, (1, 5, 5))[0, 2, 2] == 76  # 0.299 * 255
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "b.png")
    small = decode((tmp_path / "b.png").read_bytes(), (1, 8, 8))[0, 4].int()
    assert (small[1:-1] - torch.arange(8)[1:-1] * 32 - 14).abs().max() <= 1  # the mean of 8 columns each


@pytest.mark.parametrize("levels", [2, 3, 5, 16, 17, 100, 200, 255, 256])
def test_every_level_survives_a_png(levels):
    x = torch.arange(levels, dtype=torch.uint8).view(1, 1, levels)
    back = decode(encode(x, levels), (1, 1, levels))
    assert (back.min(), back.max()) == (0, 255)
    assert torch.equal(quantise(back, levels), x)


def damaged(path):
    picture(path, (30, 30))
    path.write_bytes(path.read_bytes()[:300])


def transparent(path):
    picture(path, (8, 8, 4))


def deep(path):
    Image.fromarray(np.full((8, 8), 3000, dtype=np.uint16)).save(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damaged, "truncated"),
        (lambda path: path.write_text("hello"), "it is not an image"),
        (transparent, "it is transparent in places"),
        (deep, "more than 8 bits"),
    ],
    ids=["damaged", "text", "transparent", "deep"],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_used_is_named_in_one_line(classes, make_data, spoil, reason, workers):
    root, _ = classes
    spoil(root / "validation" / "dog" / "1.png")
    data = make_data("image_folder", f"data.root={root}", *GREY, "data.num_classes=2", f"data.num_workers={workers}")
    with pytest.raises(UnreadableImage, match=rf"^{root}/validation/dog/1\.png cannot be used: .*{reason}") as error:
        list(data.loader("validation", 2))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_goes_away_is_named_in_one_line(classes, make_data, workers):
    root, _ = classes
    data = make_data("image_folder", f"data.root={root}", *GREY, "data.num_classes=2", f"data.num_workers={workers}")
    data.setup()
    (root / "validation" / "dog" / "1.png").unlink()
    with pytest.raises(UnreadableImage, match=rf"^{root}/validation/dog/1\.png is not there$"):
        list(data.loader("validation", 2))


@pytest.mark.parametrize(
    ("change", "overrides", "message"),
    [
        ("", ["data.root=null"], r"data\.root=null: set it to the folder"),
        ("", ["data.root=/nowhere"], r"data\.root='/nowhere' is not a folder"),
        ("mv validation val", [], r"/validation is not a folder.*it holds test, train, val\)"),
        ("rm test/dog/*", [], r"no images .*/test/dog"),
        ("mv test/dog test/fox", [], r"classes in .*/test are not those in train: dog is missing, fox is not in train"),
        ("cp test/dog/0.png test", [], r"/test holds images beside the folders"),
        ("rm test/dog/* && rmdir test/dog", [], r"classes in .*/test are not those in train: dog is missing"),
        ("", ["data.num_classes=null"], r"num_classes=None: for .*/train it must be 2: .*cat, dog"),
        ("", ["data.num_classes=3"], r"num_classes=3: for .*/train it must be 2"),
        ("", ["data.splits={train: 0.5, validation: 0.2, test: 0.2}"], r"data\.splits=.*adding up to 1"),
        ("", ["data.shape=[2,8,8]"], r"data\.shape=\[2, 8, 8\]: must be \[1, H, W\]"),
        ("", ["data.levels=null"], r"data\.levels=null"),
    ],
)
def test_a_folder_that_is_not_as_declared_is_refused(classes, folder, change, overrides, message):
    root, _ = classes
    subprocess.run(change, shell=True, cwd=root, check=True)
    with pytest.raises(Exception, match=message):
        folder(root, "data.num_classes=2", *overrides).setup()


def test_a_share_without_images_is_refused(tmp_path, folder):
    picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"too few images in .*, none is left for"):
        folder(tmp_path, "data.splits={train: 0.8, validation: 0.1, test: 0.1}").setup()
