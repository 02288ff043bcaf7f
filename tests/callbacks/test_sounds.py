"""Runs on sound: WAV files and pictures of samples, from the callback and from ``genexp sample``."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from genexp.callbacks.hand_over import _has_soundfile, hand_over_sounds
from genexp.callbacks.sounds import ROWS, decibels, sounds
from genexp.data import fsdd
from genexp.probability.quantize import mu_law_codes, mu_law_waveform
from genexp.tracking.wandb_files import parts, read


def size(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def soundfile(tmp_path, monkeypatch):
    """W&B asks for the package soundfile, of which it uses nothing for WAV files."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "soundfile.py").write_text("")
    monkeypatch.syspath_prepend(folder)
    _has_soundfile.cache_clear()
    yield
    _has_soundfile.cache_clear()


@pytest.mark.parametrize("labels", [None, [3, 14]])
def test_a_wav_file_holds_the_waveform_of_the_codes(tmp_path, labels):
    x = torch.stack([torch.arange(256), torch.full((256,), 128)]).to(torch.uint8)
    y = None if labels is None else torch.tensor(labels)
    picture, *clips = sounds(x, y, 256, 8000, tmp_path / "new" / "a.b", title="a")
    names = ["a.b-0.wav", "a.b-1.wav"] if labels is None else ["a.b-0-label3.wav", "a.b-1-label14.wav"]
    assert [path.name for path in clips] == names and picture.name == "a.b.png"
    for codes, path in zip(x, clips, strict=True):
        rate, samples = wavfile.read(path)
        assert rate == 8000 and samples.dtype == np.int16 and samples.shape == (256,)
        waveform = torch.from_numpy(samples / 32767)
        assert (waveform - mu_law_waveform(codes.double(), 256)).abs().max() < 0.6 / 32767
        assert torch.equal(mu_law_codes(waveform, 256), codes)
    assert size(picture)[0] == 1200


@pytest.mark.parametrize("n, steps", [(1, 4096), (ROWS + 3, 5)])
def test_a_picture_has_a_row_for_each_of_the_first_clips(tmp_path, n, steps):
    written = sounds(torch.randint(256, (n, steps)).to(torch.uint8), None, 256, 8000, tmp_path / "x", title="a")
    assert len(written) == 1 + n
    assert size(written[0]) == (1200, pytest.approx(108 + 156 * min(n, ROWS), abs=1))


def test_a_spectrogram_shows_the_frequency_of_a_tone():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(4096) / 8000)
    power = decibels(tone)
    assert power.shape == (129, 65) and power[:, 32].argmax() == 1000 / 8000 * 256
    assert torch.allclose(decibels(torch.zeros(5)), torch.tensor(-100.0))


def test_images_are_no_sound(tmp_path):
    with pytest.raises(ValueError, match=r"data\.shape=\[1, 8, 8\]: sound has the shape \[T\]"):
        sounds(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), None, 256, 8000, tmp_path / "x", title="a")


@pytest.fixture
def recordings(monkeypatch):
    """Tones in place of the recordings."""
    time = torch.arange(60) / 8000
    tones = {name: 0.5 * torch.sin(2 * torch.pi * 300 * (1 + int(name[0])) * time) for name in fsdd.RECORDINGS.members}
    monkeypatch.setattr(fsdd.Fsdd, "_waveforms", tones)
    monkeypatch.setattr(fsdd.Fsdd, "prepare_data", lambda self: None)


RUN = ["train", "experiment=wavenet_fsdd", "data.shape=[50]", "trainer=cpu", "data.limit=48", "training.max_steps=12"]
RUN += ["model.network.channels=4", "model.network.skip_channels=8", "model.network.layers=3", "name=a"]
RUN += ["metrics=[nll,floors]", "data.evaluation_batch_size=300", "samples.n=3", "samples.every_images=20"]


def test_a_run_on_sound(genexp, recordings, soundfile):
    code, out, err = genexp(*RUN, "logger=wandb", "logger.wandb.mode=offline")
    assert code == 0, err
    assert "receptive field of 16" in out
    samples = genexp.folder / "outputs/a/samples"
    pictures = {path.stem for path in samples.glob("*.png")}
    assert "final" in pictures and len(pictures) > 1
    for name in pictures:
        assert {path.name for path in samples.glob(f"{name}-*.wav")} == {f"{name}-{i}-label{i}.wav" for i in range(3)}
    rate, waveform = wavfile.read(samples / "final-2-label2.wav")
    assert rate == 8000 and waveform.shape == (50,)
    values = {record["key"]: record["value"] for record in genexp.json("outputs/a/metrics.json")}
    assert {"test/nll_bpd", "test/floor_uniform_bpd", "test/floor_linear_adaptive_bpd"} <= set(values)
    (path,) = parts(genexp.folder / "outputs/a")
    text = json.dumps(read(path)[0])
    assert "media/images/samples" in text and "media/audio/samples_audio" in text

    code, out, err = genexp("sample", "run=outputs/a", "n=2", "y=[7,59]", "seed=3")
    assert code == 0, err
    codes = np.load(samples / "sample-best-seed3-n2-y7_59.npy")
    assert codes.shape == (2, 50) and codes.dtype == np.uint8
    for i, label in enumerate((7, 59)):
        path = samples / f"sample-best-seed3-n2-y7_59-{i}-label{label}.wav"
        assert path.name in out.replace("\n", "")
        assert torch.equal(
            mu_law_codes(torch.from_numpy(wavfile.read(path)[1] / 32767), 256), torch.from_numpy(codes[i])
        )
    assert (samples / "sample-best-seed3-n2-y7_59.png").exists()


def test_loggers_that_take_no_sound_are_passed_over(tmp_path, monkeypatch, capsys, soundfile):
    class Taking:
        def log_audio(self, **given):
            self.given = given

    class Trainer:
        loggers = (object(), Taking())

    class Model:
        images_seen, steps = 1500, 7

    hand_over_sounds(Trainer(), Model(), "samples_audio", [tmp_path / "final-0.wav"])
    assert Trainer.loggers[1].given == {
        "key": "samples_audio",
        "audios": [str(tmp_path / "final-0.wav")],
        "step": 1500,
        "caption": ["1,500 images, final-0"],
    }
    Trainer.loggers[1].given = None
    monkeypatch.setattr("genexp.callbacks.hand_over.find_spec", lambda name: None)
    _has_soundfile.cache_clear()
    for _ in range(2):
        hand_over_sounds(Trainer(), Model(), "samples_audio", [tmp_path / "final-0.wav"])
    assert Trainer.loggers[1].given is None
    assert capsys.readouterr().err.count("pip install genexp[sound]") == 1
