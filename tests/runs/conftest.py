import json
import sys

import pytest

from genexp.cli import main

TINY = [
    "data=digits",
    "trainer=cpu",
    "training.max_images=1500",
    "training.log_every_steps=5",
    "samples.n=16",
    "samples.every_images=1000",
]
NETS = {
    "made": ["model.network.hidden=[16]"],
    "pixelcnn": ["model.network.channels=4", "model.network.dilations=[1]", "model.network.head_channels=8"],
    "vae": ["model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "model.latent_dim=4"],
    "dcgan": ["model.generator.channels=4", "model.discriminator.channels=4"],
}
FIDELITY = ["metrics.fidelity.n=60", "metrics.fidelity.kid_subset_size=20", "metrics.fidelity.is_splits=2"]


@pytest.fixture
def genexp(tmp_path, monkeypatch, capsys):
    """Runs ``genexp ...`` in an empty folder; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["genexp", *arguments])
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    call.folder = tmp_path
    call.json = lambda path: json.loads((tmp_path / path).read_text())
    return call


@pytest.fixture
def tiny():
    """Overrides for a run of a second."""
    return lambda model, *more: ["train", f"model={model}", *TINY, *NETS[model], *more]
