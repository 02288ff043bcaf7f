"""The device of a run, and of whoever takes it up."""

import io

import pytest
import torch
from omegaconf import OmegaConf
from rich.console import Console

from genexp.record.errors import ConfigError
from genexp.runs.devices import device_of, device_of_run


@pytest.fixture
def there(monkeypatch):
    """Says which kinds of GPU there are."""

    def say(*kinds):
        for kind, module in (("cuda", torch.cuda), ("mps", torch.backends.mps)):
            monkeypatch.setattr(module, "is_available", lambda kind=kind: kind in kinds)

    return say


@pytest.mark.parametrize(
    ("kinds", "devices"),
    [
        ([], {"auto": "cpu", "cpu": "cpu"}),
        (["cuda"], {"auto": "cuda", "gpu": "cuda", "cuda": "cuda", "cpu": "cpu"}),
        (["mps"], {"auto": "mps", "gpu": "mps", "mps": "mps", "cpu": "cpu"}),
    ],
)
def test_an_accelerator_is_the_device_that_is_there_or_refused(there, kinds, devices):
    there(*kinds)
    assert {name: device_of(name).type for name in devices} == devices
    for name in {"gpu", "cuda", "mps"} - devices.keys():
        with pytest.raises(ConfigError, match=f"trainer.accelerator={name}: no GPU.*; use cpu or auto"):
            device_of(name)


@pytest.mark.parametrize(
    ("own", "asked", "device", "line"),
    [
        ("cpu", None, "cpu", ""),
        ("auto", None, "cuda", ""),
        ("cpu", "gpu", "cuda", ""),
        ("mps", None, "cuda", "trained with trainer.accelerator=mps, which is not here: it runs on cuda"),
    ],
)
def test_a_run_is_taken_up_where_it_was_trained(there, own, asked, device, line):
    there("cuda")
    said = Console(file=io.StringIO(), width=100)
    assert device_of_run(asked, OmegaConf.create({"trainer": {"accelerator": own}}), said).type == device
    assert said.file.getvalue().strip() == line
