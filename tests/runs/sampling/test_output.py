"""Where draws go: under a name that says the settings, never onto another draw; single files for other programs."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from scipy.io import wavfile

from genexp.probability.quantize import mu_law_codes
from genexp.record.errors import ConfigError
from genexp.runs.sampling.formats import FORMATS, check_format
from genexp.runs.sampling.output import Output

WEIGHTS = {"run": "outputs/a", "checkpoint": "best", "sha256": "ab"}


def draw(path, default, seed, weights=WEIGHTS):
    output = Output(path, default, weights, {"seed": seed})
    output.begin()
    file = output.path.with_name(f"{output.path.name}.npy")
    np.save(file, np.full(3, seed))
    output.end([file], 1000)
    return output.path.name


def test_a_draw_of_other_settings_or_weights_gets_another_name_and_the_same_one_its_own(tmp_path):
    default = tmp_path / "samples" / "x"
    assert [draw(None, default, seed) for seed in (0, 1, 0, 2, 1)] == ["x", "x-2", "x", "x-3", "x-2"]
    assert draw(None, default, 0, WEIGHTS | {"sha256": "cd"}) == "x-4"
    record = json.loads((tmp_path / "samples/x-2.json").read_text())
    assert record["settings"] == {"seed": 1} and record["images_seen"] == 1000 and record["files"] == ["x-2.npy"]
    assert record["sha256"] == "ab" and record["run"] == "outputs/a"


def test_a_name_that_was_asked_for_is_not_taken_from_another_draw(tmp_path):
    path = tmp_path / "x"
    draw(str(path), None, 0)
    draw(str(path), None, 0)
    with pytest.raises(ConfigError, match=r"output=.*x: holds a draw of other settings \(seed=0, here 1\); choose"):
        draw(str(path), None, 1)
    with pytest.raises(ConfigError, match="holds a draw of other weights, which had seen 1,000 images"):
        draw(str(path), None, 0, WEIGHTS | {"sha256": "cd"})
    (tmp_path / "y.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"y\.png is there, and nothing says what it was drawn with"):
        draw(str(tmp_path / "y"), None, 0)
    for content in ("{", "[]", "{}", '{"settings": 3}', "[" * 5000):
        (tmp_path / "z.json").write_text(content)
        with pytest.raises(ConfigError, match=r"z\.json is there, and nothing says"):
            draw(str(tmp_path / "z"), None, 0)


def test_a_draw_that_failed_leaves_its_name(tmp_path):
    output = Output(str(tmp_path / "x"), None, WEIGHTS, {"seed": 0})
    output.begin()
    assert output.record.exists()
    output.give_up()
    assert list(tmp_path.iterdir()) == []


def write(format_, output, x, y=None, levels=17, sample_rate=None):
    writer = FORMATS[format_](output, len(x), levels, sample_rate)
    for part in x.split(2):
        writer.add(part)
    return writer.close(y)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_as_single_files_and_as_an_archive(tmp_path, channels):
    x = torch.randint(17, (5, channels, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    y = torch.arange(5)
    folder, labels = write("png", tmp_path / "a", x, y)
    expected = (x / 16 * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{i:06d}.png" for i in range(5)] and (np.load(labels) == y.numpy()).all()
    for i, name in enumerate(names):
        with Image.open(folder / name) as image:
            assert image.mode == ("L" if channels == 1 else "RGB")
            assert (np.asarray(image).reshape(4, 4, channels) == expected[i]).all()
    (archive,) = write("npz", tmp_path / "b", x, y)
    found = np.load(archive)
    assert found["arr_0"].shape == (5, 4, 4, 3) and found["arr_0"].dtype == np.uint8
    assert (found["arr_0"] == expected).all() and (found["arr_1"] == y.numpy()).all()
    before = archive.read_bytes()
    assert write("npz", tmp_path / "b", x, y)[0].read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a-labels.npy", "b.npz"]


def test_arrays_keep_the_data_space_and_clips_are_sounds(tmp_path):
    for x in (torch.randn(5, 2), torch.randint(2, (3, 7)).to(torch.uint8)):
        (path,) = write("npy", tmp_path / "a", x)
        assert np.load(path).dtype == x.numpy().dtype and (np.load(path) == x.numpy()).all()
    codes = torch.randint(256, (3, 50)).to(torch.uint8)
    (folder,) = write("wav", tmp_path / "c", codes, levels=256, sample_rate=8000)
    rate, samples = wavfile.read(folder / "000002.wav")
    assert rate == 8000 and torch.equal(mu_law_codes(torch.from_numpy(samples / 32767), 256), codes[2])


@pytest.mark.parametrize(
    ("format_", "shape", "levels", "rate", "message"),
    [
        ("wav", (1, 8, 8), 17, None, "format=wav: is for sound, and digits has none; formats that fit: npy, npz, png"),
        ("png", (50,), 256, 8000, "format=png: is for grey or colour images, and digits has none; .*: npy, npz, wav"),
        ("png", (2,), None, None, "formats that fit: npy, npz$"),
    ],
)
def test_a_format_that_the_data_do_not_have_is_refused(format_, shape, levels, rate, message):
    with pytest.raises(ConfigError, match=message):
        check_format(format_, "digits", shape, levels, rate)


def test_many_draws_come_in_batches_and_nothing_is_overwritten(genexp, finished):
    finished("vae", "name=a", "metrics=bound", "metrics.bound.ks=[1]", "model.conditional=true")
    samples = genexp.folder / "outputs/a/samples"
    for more in ([], ["y=3"], ["+knobs.temperature=0.5"], ["y=3"]):
        code, out, err = genexp("sample", "run=outputs/a", "n=6", "batch_size=4", *more)
        assert code == 0 and "wrote" in out, err
    stems = ["sample-best-seed0-n6", "sample-best-seed0-n6-temperature0.5", "sample-best-seed0-n6-y3"]
    assert sorted(path.stem for path in samples.glob("sample-*.json")) == stems
    first, warm, three = (np.load(samples / f"{stem}.npy") for stem in stems)
    assert first.shape == warm.shape == (6, 1, 8, 8) and (first != three).any()
    assert (np.load(samples / f"{stems[2]}-labels.npy") == 3).all()
    record = json.loads((samples / f"{stems[2]}.json").read_text())
    assert record["settings"]["batch_size"] == 4 and "steps" not in record["settings"]

    code, out, err = genexp("sample", "run=outputs/a", "n=3", "format=png", "output=fake")
    assert code == 0 and sorted(p.name for p in (genexp.folder / "fake").iterdir())[0] == "000000.png", err
    for wrong, message in {
        "seed=1": "output=fake: holds a draw of other settings (seed=0, here 1); choose another name",
        "format=wav": "format=wav: is for sound, and digits has none",
        "format=jpg": "format=jpg: must be one of npy, png, npz, wav",
        "complete=top": "format=png: is for whole draws alone; complete=top writes arrays and a picture",
        "steps=5": "steps=5: has no effect on whole draws; it is for latent=interpolate or latent=traverse",
        "y=10": "labels must be in [0, 9]",
    }.items():
        name = "fake" if wrong == "seed=1" else "other"
        code, _, err = genexp("sample", "run=outputs/a", "n=3", "format=png", f"output={name}", wrong)
        assert code == 2 and message in err and err.count("\n") == 1, (wrong, err)
        assert not list(genexp.folder.glob("other*"))


def test_progress_is_told_where_there_is_no_terminal(monkeypatch, tmp_path, compose_train):
    from genexp.record.instantiate import instantiate
    from genexp.runs import progress_bars
    from genexp.runs.sampling import whole
    from genexp.runs.sampling.request import Request

    monkeypatch.setattr(progress_bars, "EVERY_S", -1)
    config = compose_train("model=made", "data=digits", "model.network.hidden=[4]")
    model, data = (instantiate(config, part, []) for part in ("model", "data"))
    settings = {name: None for name in Request.__dataclass_fields__} | {"n": 5, "batch_size": 2, "format": "npy"}
    request = Request(**settings | {"draws": 1, "rows": 1, "steps": 2, "extent": 1.0, "knobs": {}})
    out = io.StringIO()
    whole.draw_whole(request, model.eval(), data, "t", tmp_path / "x", Console(file=out))
    assert "samples drawn: 4 of 5" in out.getvalue() and np.load(tmp_path / "x.npy").shape == (5, 1, 8, 8)
