"""Spoken digits: stand-ins for the recordings, and the recordings themselves where they are."""

import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from genexp.data import fsdd
from genexp.data.archives import digest
from genexp.probability.quantize import mu_law_codes

RATE = 8000
OVERRIDES = {
    "digit": (),
    "speaker": ("data.labels=speaker", "data.num_classes=6", "data.label_factors=[6]"),
    "both": ("data.labels=both", "data.num_classes=60", "data.label_factors=[10,6]"),
}


def samples(digit, speaker, repetition):
    """A waveform that tells which recording it stands for; repetitions have different lengths."""
    values = np.full(20 + repetition, 1000 * digit + 100 * repetition - 4500, dtype=np.int16)
    values[0] = 3000 * speaker
    return values


def wav(values, rate=RATE):
    out = io.BytesIO()
    wavfile.write(out, rate, values)
    return out.getvalue()


@pytest.fixture
def contents(monkeypatch):
    """The bytes of small recordings, 11 repetitions of each digit and speaker, known as those published."""
    made = {
        f"{d}_{s}_{i}.wav": wav(samples(d, n, i))
        for d in range(10)
        for n, s in enumerate(fsdd.SPEAKERS)
        for i in range(11)
    }
    small = replace(fsdd.RECORDINGS, members=tuple(made), sha256=digest(made))
    monkeypatch.setattr(fsdd, "RECORDINGS", small)
    monkeypatch.setitem(fsdd.SPLITS, "train", range(10, 11))
    return made


@pytest.fixture
def root(contents, tmp_path, monkeypatch):
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine" / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("not a recording")
    return tmp_path / "mine"


@pytest.fixture
def make_fsdd(make_data):
    def make(root, *overrides):
        return make_data("fsdd", f"data.root={root}", "data.shape=[25]", *overrides)

    return make


@pytest.mark.parametrize("labels", OVERRIDES)
def test_recordings_are_cut_or_followed_by_silence(make_fsdd, root, labels):
    data = make_fsdd(root, *OVERRIDES[labels])
    data.prepare_data()
    data.setup()
    assert [data.size(split) for split in ("train", "validation", "test")] == [60, 300, 300]
    for split, first, count in (("test", 0, 5), ("validation", 5, 5), ("train", 10, 1)):
        x, y = data.tensors(split)
        expected = iter(range(len(x)))
        for digit in range(10):
            for speaker in range(6):
                for repetition in range(first, first + count):
                    at = next(expected)
                    waveform = torch.zeros(25)
                    there = torch.from_numpy(samples(digit, speaker, repetition))[:25]
                    waveform[: len(there)] = there / 32768
                    assert torch.equal(x[at], mu_law_codes(waveform, 256))
                    assert y[at] == {"digit": digit, "speaker": speaker, "both": digit * 6 + speaker}[labels]
    x, _ = data.tensors("test")
    assert (x[:, 24] == 128).all() and (data.tensors("train")[0][:, 24] != 128).any()
    assert data.protocol("test")["labels"] == labels and data.protocol("test")["length"].startswith("25 samples")
    assert data.sample_rate == 8000


def test_levels_and_length_are_those_of_the_config(make_fsdd, root):
    x, _ = make_fsdd(root, "data.levels=16", "data.shape=[3]").tensors("test")
    assert x.shape == (300, 3) and x.max() < 16


@pytest.mark.parametrize(
    "overrides, message",
    [
        (("data.labels=both",), r"data\.num_classes=10: with data\.labels=both it must be 60"),
        (("data.num_classes=6",), r"data\.num_classes=6: with data\.labels=digit it must be 10"),
        (("data.label_factors=[10,6]",), r"data\.label_factors=\[10, 6\]: .*it must be \[10\]"),
        (("data.labels=speakers",), r"data\.labels='speakers'.*did you mean speaker\?"),
        (("data.shape=[1,5,5]",), r"data\.shape=\[1, 5, 5\]: must be \[T\]"),
        (("data.levels=null",), r"data\.levels=null"),
    ],
)
def test_settings_that_do_not_fit_are_refused(make_data, overrides, message):
    with pytest.raises(Exception, match=message):
        make_data("fsdd", *overrides)


def spoil(root, name, content):
    (root / "fsdd" / "recordings" / name).write_bytes(content)


@pytest.mark.parametrize(
    "content, message",
    [
        (wav(samples(0, 0, 0), rate=16000), "3_theo_7.wav has 16000 samples per second, but data.sample_rate=8000"),
        (wav(np.zeros((9, 2), np.int16)), r"3_theo_7.wav is int16 of shape \(9, 2\): must be mono"),
        (wav(np.zeros(9, np.float32)), "3_theo_7.wav is float32 .*must be mono with 16 bits"),
        (b"RIFF", "3_theo_7.wav is no WAV file"),
        (b"", "3_theo_7.wav is no WAV file"),
        (wav(np.zeros(9, np.int16)), "the 660 files of .*recordings have sha256 .*damaged or another version"),
    ],
)
def test_a_wrong_file_is_refused(make_fsdd, root, content, message):
    spoil(root, "3_theo_7.wav", content)
    with pytest.raises(ValueError, match=message) as error:
        make_fsdd(root).setup()
    assert "\n" not in str(error.value)


def test_missing_files_and_folders_are_named(make_fsdd, root, tmp_path, monkeypatch):
    for name in ("3_theo_7.wav", "3_theo_8.wav"):
        (root / "fsdd" / "recordings" / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"recordings lacks 2 of 660 files, 3_theo_7\.wav first"):
        make_fsdd(root).prepare_data()
    with pytest.raises(FileNotFoundError, match=r"data\.root='.*absent' is not a folder"):
        make_fsdd(tmp_path / "absent").prepare_data()
    monkeypatch.setattr(fsdd, "RECORDINGS", replace(fsdd.RECORDINGS, url=(tmp_path / "nowhere.tar.gz").as_uri()))
    with pytest.raises(FileNotFoundError, match=r"recordings is not in .*nowhere\.tar\.gz failed.*fsdd/recordings"):
        make_fsdd(tmp_path).prepare_data()


@pytest.fixture
def publish(contents, tmp_path, monkeypatch):
    """Publishes an archive of files: nothing in the cache, nor at hand."""
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))

    def make(files):
        path = tmp_path / "published.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        monkeypatch.setattr(fsdd, "RECORDINGS", replace(fsdd.RECORDINGS, url=path.as_uri()))
        return path

    return make


def test_downloads_into_the_cache_once(publish, contents, make_fsdd, tmp_path):
    inside = fsdd.RECORDINGS.inside
    others = {"../outside.wav": b"x", f"{inside}/../0_theo_0.wav": b"x", f"{inside}/README": b"x"}
    archive = publish(others | {f"{inside}/{name}": content for name, content in contents.items()})
    data = make_fsdd("null")
    data.prepare_data()
    archive.unlink()
    data.setup()
    make_fsdd("null").prepare_data()
    assert data.size("test") == 300
    folder = tmp_path / "cache" / "fsdd"
    assert [p.name for p in folder.iterdir()] == ["recordings"]  # no temporary files stay
    assert {p.name for p in (folder / "recordings").iterdir()} == set(contents)


def test_a_wrong_download_leaves_nothing_behind(publish, contents, make_fsdd, tmp_path):
    publish({f"{fsdd.RECORDINGS.inside}/{name}": content for name, content in contents.items() if name[0] != "7"})
    with pytest.raises(ValueError, match=r"the 594 files of file://.*published\.tar\.gz have sha256"):
        make_fsdd("null").prepare_data()
    assert not (tmp_path / "cache" / "fsdd" / "recordings").exists()


def test_the_published_recordings(make_data, data_root):
    data = make_data("fsdd", *OVERRIDES["both"])
    data.prepare_data()
    data.setup()
    x, y = data.tensors("test")
    assert x.shape == (300, 4096) and torch.equal(y.bincount(), torch.full((60,), 5))
    silent = [(data.tensors(split)[0] == 128).float().mean().item() for split in ("train", "test")]
    assert silent == pytest.approx([0.232, 0.243], abs=1e-3)
